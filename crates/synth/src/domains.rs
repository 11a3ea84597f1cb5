//! The demo's world: domains of everyday tools, each with its own things and parameters.
//!
//! Out: [`DOMAINS`]. A thing, a parameter name and a nested field belong to one domain only, so a
//! split by domain shares no tool name, parameter name or description between its two sides.
//! Written by hand for this project. It does not know how tools are worded or offered.

use crate::kind::{Kind, Pool};

/// A domain: what can be done (`verbs`) to what (`nouns`), where, and with which parameters.
#[derive(Debug)]
pub(crate) struct Domain {
    /// Ends a tool's description: "Book a table at the restaurant."
    pub(crate) place: &'static str,
    pub(crate) verbs: &'static [&'static str],
    pub(crate) nouns: &'static [&'static str],
    pub(crate) params: &'static [(&'static str, Kind)],
}

const PERSON: Kind = Kind::Text(Pool::Person);
const CITY: Kind = Kind::Text(Pool::City);
const DATE: Kind = Kind::Text(Pool::Date);
const TIME: Kind = Kind::Text(Pool::Time);
const CODE: Kind = Kind::Text(Pool::Code);
const TITLE: Kind = Kind::Text(Pool::Title);
const YES: Kind = Kind::Flag;

const fn int(low: i64, high: i64) -> Kind {
    Kind::Integer(low, high)
}
const fn num(low: i64, high: i64) -> Kind {
    Kind::Number(low, high)
}
const fn one(options: &'static [&'static str]) -> Kind {
    Kind::Choice(options)
}
const fn many(options: &'static [&'static str]) -> Kind {
    Kind::Words(options)
}
const fn ints(low: i64, high: i64) -> Kind {
    Kind::Integers(low, high)
}
const fn object(fields: &'static [(&'static str, Kind)]) -> Kind {
    Kind::Object(fields)
}

/// Every domain of the demo.
pub(crate) const DOMAINS: &[Domain] = &[
    Domain {
        place: "at the restaurant",
        verbs: &["book", "cancel", "confirm", "move"],
        nouns: &["table", "banquet", "brunch", "terrace", "buffet"],
        params: &[
            ("party_size", int(1, 14)),
            ("arrival_time", TIME),
            ("seating_area", one(&["window", "garden", "bar", "cellar"])),
            ("baby_chair", YES),
            ("dietary_needs", many(&["vegan", "halal", "kosher", "nuts", "gluten"])),
            ("guest_name", PERSON),
            ("tip_share", num(10, 250)),
        ],
    },
    Domain {
        place: "in the house",
        verbs: &["dim", "schedule", "inspect", "install"],
        nouns: &["lamp", "lantern", "spotlight", "chandelier", "floodlight"],
        params: &[
            ("glow_level", num(5, 99)),
            ("bulb_count", int(1, 24)),
            ("light_tone", one(&["warm", "cool", "neutral", "amber"])),
            ("motion_sensor", YES),
            ("switch_time", TIME),
            ("circuit_numbers", ints(1, 40)),
            (
                "fade_plan",
                object(&[("fade_seconds", int(1, 90)), ("fade_curve", one(&["linear", "smooth", "sharp"]))]),
            ),
        ],
    },
    Domain {
        place: "of the heating system",
        verbs: &["adjust", "repair", "check", "program"],
        nouns: &["boiler", "radiator", "thermostat", "furnace", "stove"],
        params: &[
            ("target_temperature", num(-80, 300)),
            ("frost_limit", int(-30, -1)),
            ("night_mode", YES),
            ("heating_zone", one(&["attic", "bedroom", "hallway", "basement"])),
            ("valve_numbers", ints(1, 30)),
            ("service_day", DATE),
            ("fuel_supplier", TITLE),
        ],
    },
    Domain {
        place: "for a trip by air",
        verbs: &["reserve", "cancel", "track", "change"],
        nouns: &["flight", "seat", "charter", "layover", "upgrade"],
        params: &[
            ("departure_city", CITY),
            ("landing_city", CITY),
            ("boarding_date", DATE),
            ("cabin_class", one(&["economy", "business", "premium"])),
            ("bag_count", int(0, 6)),
            ("window_seat", YES),
            ("fare_limit", num(500, 9000)),
            ("meal_codes", many(&["veggie", "fish", "pasta", "fruit", "rice"])),
        ],
    },
    Domain {
        place: "on the railway",
        verbs: &["find", "buy", "refund", "print"],
        nouns: &["ticket", "railcard", "sleeper", "carriage", "timetable"],
        params: &[
            ("start_station", CITY),
            ("end_station", CITY),
            ("travel_day", DATE),
            ("coach_number", int(1, 28)),
            ("quiet_coach", YES),
            ("ticket_price", num(30, 900)),
            ("platform_list", ints(1, 22)),
        ],
    },
    Domain {
        place: "in the hotel",
        verbs: &["reserve", "clean", "extend", "cancel"],
        nouns: &["room", "suite", "cabana", "minibar", "sauna"],
        params: &[
            ("night_count", int(1, 21)),
            ("check_in_day", DATE),
            ("bed_type", one(&["single", "double", "bunk", "sofa"])),
            ("sea_view", YES),
            ("room_rate", num(300, 4500)),
            ("extra_items", many(&["towel", "pillow", "robe", "iron", "kettle"])),
            ("floor_wish", object(&[("lowest_floor", int(1, 9)), ("near_lift", YES)])),
        ],
    },
    Domain {
        place: "in the music player",
        verbs: &["play", "share", "rename", "delete"],
        nouns: &["song", "playlist", "album", "podcast", "concert"],
        params: &[
            ("artist_name", PERSON),
            ("volume_percent", int(0, 100)),
            ("shuffle_mode", YES),
            ("playback_speed", num(5, 30)),
            ("genre_tags", many(&["jazz", "rock", "folk", "opera", "disco"])),
            ("track_title", TITLE),
            ("skip_tracks", ints(1, 60)),
        ],
    },
    Domain {
        place: "in the kitchen",
        verbs: &["bake", "cook", "freeze", "plan"],
        nouns: &["cake", "stew", "pizza", "soup", "pie"],
        params: &[
            ("oven_heat", int(90, 260)),
            ("baking_minutes", int(5, 180)),
            ("serving_size", num(5, 80)),
            ("spice_grade", one(&["mild", "medium", "hot", "fiery"])),
            ("pantry_items", many(&["cheese", "olives", "basil", "onion", "pepper", "flour"])),
            ("sugar_free", YES),
            ("recipe_author", PERSON),
        ],
    },
    Domain {
        place: "in the online shop",
        verbs: &["order", "return", "compare", "review"],
        nouns: &["jacket", "sneaker", "handbag", "scarf", "backpack"],
        params: &[
            ("item_color", one(&["red", "blue", "green", "black", "white"])),
            ("shoe_size", num(340, 480)),
            ("order_quantity", int(1, 30)),
            ("gift_wrap", YES),
            ("coupon_code", CODE),
            ("price_cap", num(50, 3000)),
            ("fabric_types", many(&["cotton", "linen", "silk", "wool", "denim"])),
        ],
    },
    Domain {
        place: "for a delivery",
        verbs: &["send", "trace", "collect", "insure"],
        nouns: &["parcel", "letter", "crate", "pallet", "package"],
        params: &[
            ("parcel_weight", num(1, 400)),
            ("recipient_name", PERSON),
            ("drop_city", CITY),
            ("express_service", YES),
            ("tracking_code", CODE),
            ("stop_numbers", ints(1, 50)),
            ("box_size", object(&[("box_width", int(5, 120)), ("box_depth", int(5, 120))])),
        ],
    },
    Domain {
        place: "at the bank",
        verbs: &["open", "close", "audit", "transfer"],
        nouns: &["account", "deposit", "loan", "mortgage", "cheque"],
        params: &[
            ("account_holder", PERSON),
            ("interest_rate", num(-20, 90)),
            ("balance_amount", num(-9000, 90000)),
            ("currency_unit", one(&["euro", "dollar", "yen", "pound", "franc"])),
            ("term_months", int(3, 360)),
            ("paper_statement", YES),
            ("branch_code", CODE),
        ],
    },
    Domain {
        place: "at the clinic",
        verbs: &["arrange", "cancel", "prepare", "record"],
        nouns: &["checkup", "vaccine", "surgery", "scan", "therapy"],
        params: &[
            ("patient_name", PERSON),
            ("visit_date", DATE),
            ("body_heat", num(355, 410)),
            ("ward_number", int(1, 60)),
            ("first_visit", YES),
            ("symptom_list", many(&["cough", "fever", "rash", "headache", "nausea"])),
            ("urgency_grade", one(&["routine", "soon", "urgent"])),
        ],
    },
    Domain {
        place: "in the garden",
        verbs: &["water", "plant", "trim", "cover"],
        nouns: &["hedge", "lawn", "orchard", "flowerbed", "greenhouse"],
        params: &[
            ("water_liters", num(5, 500)),
            ("row_numbers", ints(1, 25)),
            ("soil_type", one(&["clay", "sand", "peat", "loam"])),
            ("seed_names", many(&["tulip", "rose", "daisy", "lily", "mint"])),
            ("rain_check", YES),
            ("sprinkler_minutes", int(1, 90)),
            ("frost_offset", int(-12, -1)),
        ],
    },
    Domain {
        place: "for the weather service",
        verbs: &["fetch", "draw", "archive", "publish"],
        nouns: &["forecast", "barometer", "almanac", "rainfall", "heatmap"],
        params: &[
            ("weather_city", CITY),
            ("forecast_days", int(1, 16)),
            ("degree_scale", one(&["celsius", "kelvin", "fahrenheit"])),
            ("wind_alert", YES),
            ("lowest_degree", int(-45, -1)),
            ("map_point", object(&[("east_degree", num(-1800, 1800)), ("north_degree", num(-900, 900))])),
            ("sky_layers", many(&["cloud", "snow", "fog", "hail", "thunder"])),
        ],
    },
    Domain {
        place: "in the calendar",
        verbs: &["create", "postpone", "invite", "remove"],
        nouns: &["meeting", "reminder", "birthday", "workshop", "interview"],
        params: &[
            ("meeting_topic", TITLE),
            ("start_hour", TIME),
            ("length_minutes", int(10, 240)),
            ("attendee_names", many(&["anna", "boris", "chloe", "david", "emma", "felix"])),
            ("video_link", YES),
            ("repeat_cycle", one(&["daily", "weekly", "monthly", "yearly"])),
            ("calendar_day", DATE),
        ],
    },
    Domain {
        place: "in the mailbox",
        verbs: &["forward", "draft", "flag", "archive"],
        nouns: &["email", "newsletter", "attachment", "inbox", "signature"],
        params: &[
            ("sender_name", PERSON),
            ("subject_line", TITLE),
            ("copy_names", many(&["maria", "peter", "nadia", "oscar", "paula"])),
            ("read_receipt", YES),
            ("folder_ids", ints(1, 99)),
            ("mail_priority", one(&["low", "normal", "high"])),
            ("size_limit", num(1, 250)),
        ],
    },
    Domain {
        place: "in the gym",
        verbs: &["start", "log", "pause", "assign"],
        nouns: &["workout", "treadmill", "sprint", "stretch", "marathon"],
        params: &[
            ("pulse_limit", int(90, 190)),
            ("distance_km", num(5, 420)),
            ("trainer_name", PERSON),
            ("incline_level", int(-6, 15)),
            ("voice_coach", YES),
            ("muscle_groups", many(&["legs", "arms", "back", "chest", "core"])),
            ("lap_times", ints(40, 300)),
        ],
    },
    Domain {
        place: "in the library",
        verbs: &["borrow", "renew", "donate", "shelve"],
        nouns: &["book", "novel", "atlas", "magazine", "manuscript"],
        params: &[
            ("author_name", PERSON),
            ("shelf_number", int(1, 400)),
            ("return_date", DATE),
            ("loan_weeks", int(1, 12)),
            ("large_print", YES),
            ("late_fee", num(5, 200)),
            ("reader_groups", many(&["children", "students", "teens", "adults", "seniors"])),
        ],
    },
    Domain {
        place: "at the cinema",
        verbs: &["show", "rate", "reserve", "stream"],
        nouns: &["movie", "trailer", "matinee", "premiere", "documentary"],
        params: &[
            ("film_title", TITLE),
            ("hall_number", int(1, 18)),
            ("star_rating", num(5, 50)),
            ("glasses_included", YES),
            ("seat_rows", ints(1, 30)),
            ("subtitle_language", one(&["french", "german", "spanish", "polish", "greek"])),
            ("snack_items", many(&["popcorn", "nachos", "soda", "candy", "icecream"])),
        ],
    },
    Domain {
        place: "for the car",
        verbs: &["rent", "wash", "unlock", "refuel"],
        nouns: &["van", "truck", "sedan", "convertible", "motorbike"],
        params: &[
            ("plate_code", CODE),
            ("driver_age", int(18, 85)),
            ("fuel_kind", one(&["diesel", "petrol", "electric", "hybrid"])),
            ("rental_days", int(1, 60)),
            ("child_seat", YES),
            ("mileage_cap", num(100, 9000)),
            ("tire_check", object(&[("tire_pressure", num(15, 40)), ("tire_count", int(2, 6))])),
        ],
    },
    Domain {
        place: "of the security system",
        verbs: &["arm", "disable", "test", "replace"],
        nouns: &["alarm", "camera", "doorlock", "siren", "keypad"],
        params: &[
            ("entry_code", CODE),
            ("alert_level", int(1, 9)),
            ("silent_mode", YES),
            ("armed_rooms", many(&["office", "garage", "porch", "lobby", "vault"])),
            ("delay_seconds", num(1, 300)),
            ("zone_numbers", ints(1, 64)),
            ("guard_name", PERSON),
        ],
    },
    Domain {
        place: "for the software team",
        verbs: &["deploy", "revert", "merge", "build"],
        nouns: &["server", "branch", "release", "database", "container"],
        params: &[
            ("release_version", CODE),
            ("replica_count", int(1, 40)),
            ("memory_gigabytes", num(5, 640)),
            ("dry_run", YES),
            ("cluster_region", one(&["north", "south", "east", "west"])),
            ("port_numbers", ints(80, 9000)),
            ("change_owner", PERSON),
        ],
    },
    Domain {
        place: "at the school",
        verbs: &["grade", "enroll", "assign", "excuse"],
        nouns: &["exam", "essay", "lesson", "homework", "quiz"],
        params: &[
            ("pupil_name", PERSON),
            ("class_level", int(1, 13)),
            ("exam_score", num(0, 1000)),
            ("bonus_points", int(-10, 20)),
            ("group_work", YES),
            ("subject_area", one(&["biology", "history", "physics", "algebra", "latin"])),
            ("page_numbers", ints(1, 320)),
        ],
    },
    Domain {
        place: "at the pet shop",
        verbs: &["feed", "adopt", "groom", "walk"],
        nouns: &["puppy", "kitten", "parrot", "hamster", "turtle"],
        params: &[
            ("pet_name", PERSON),
            ("food_grams", int(10, 900)),
            ("animal_weight", num(2, 600)),
            ("coat_color", one(&["brown", "grey", "golden", "spotted"])),
            ("leash_needed", YES),
            ("toy_names", many(&["ball", "bone", "bell", "rope", "feather"])),
            ("feeding_time", TIME),
        ],
    },
    Domain {
        place: "on the farm",
        verbs: &["harvest", "sell", "weigh", "store"],
        nouns: &["wheat", "barley", "honey", "milk", "potato"],
        params: &[
            ("field_number", int(1, 90)),
            ("crop_tons", num(1, 900)),
            ("silo_code", CODE),
            ("organic_label", YES),
            ("market_city", CITY),
            ("worker_names", many(&["ivan", "karla", "luis", "mina", "noah"])),
            ("humidity_step", int(-15, 15)),
        ],
    },
    Domain {
        place: "in the museum",
        verbs: &["display", "restore", "lend", "describe"],
        nouns: &["statue", "painting", "fossil", "vase", "tapestry"],
        params: &[
            ("artwork_title", TITLE),
            ("century_number", int(-20, 21)),
            ("insured_value", num(100, 90000)),
            ("flash_allowed", YES),
            ("gallery_wing", one(&["roman", "modern", "baroque", "gothic"])),
            ("curator_name", PERSON),
            ("crate_size", object(&[("crate_height", int(10, 400)), ("crate_padding", YES)])),
        ],
    },
    Domain {
        place: "for the sports club",
        verbs: &["reserve", "score", "host", "cancel"],
        nouns: &["match", "tournament", "court", "stadium", "league"],
        params: &[
            ("home_team", CITY),
            ("away_team", CITY),
            ("kickoff_time", TIME),
            ("goal_difference", int(-9, 9)),
            ("indoor_field", YES),
            ("shirt_numbers", ints(1, 99)),
            ("entry_fee", num(5, 900)),
            ("sport_kind", one(&["tennis", "soccer", "hockey", "rugby"])),
        ],
    },
    Domain {
        place: "in the photo archive",
        verbs: &["crop", "rotate", "upload", "tag"],
        nouns: &["photo", "portrait", "snapshot", "panorama", "slideshow"],
        params: &[
            ("rotation_angle", int(-180, 180)),
            ("contrast_shift", num(-50, 50)),
            ("photo_owner", PERSON),
            ("color_filter", one(&["sepia", "mono", "vivid", "faded"])),
            ("keep_original", YES),
            ("album_tags", many(&["beach", "family", "sunset", "wedding", "travel"])),
            (
                "frame_size",
                object(&[("frame_width", int(20, 900)), ("frame_style", one(&["oak", "steel", "glass"]))]),
            ),
        ],
    },
    Domain {
        place: "on the building site",
        verbs: &["order", "measure", "demolish", "paint"],
        nouns: &["wall", "roof", "bridge", "staircase", "chimney"],
        params: &[
            ("wall_height", num(5, 400)),
            ("brick_count", int(50, 9000)),
            ("site_manager", PERSON),
            ("safety_net", YES),
            ("paint_finish", one(&["matte", "gloss", "satin"])),
            ("depth_offset", num(-90, -1)),
            ("tool_kit", many(&["hammer", "ladder", "drill", "saw", "wrench"])),
        ],
    },
    Domain {
        place: "for the energy grid",
        verbs: &["monitor", "connect", "charge", "limit"],
        nouns: &["battery", "turbine", "panel", "generator", "meter"],
        params: &[
            ("power_kilowatts", num(1, 9000)),
            ("cell_count", int(2, 96)),
            ("grid_region", CITY),
            ("solar_only", YES),
            ("tariff_plan", one(&["flat", "peak", "saver"])),
            ("voltage_drop", num(-120, -1)),
            ("meter_ids", ints(100, 999)),
        ],
    },
    Domain {
        place: "in the game world",
        verbs: &["spawn", "upgrade", "trade", "hide"],
        nouns: &["dragon", "castle", "potion", "sword", "treasure"],
        params: &[
            ("player_name", PERSON),
            ("damage_points", int(-50, 200)),
            ("magic_school", one(&["fire", "ice", "storm", "shadow"])),
            ("boss_fight", YES),
            ("drop_chance", num(1, 99)),
            ("loot_items", many(&["gem", "coin", "scroll", "ring", "amulet"])),
            ("spawn_point", object(&[("tile_row", int(-40, 40)), ("tile_column", int(-40, 40))])),
        ],
    },
    Domain {
        place: "at the harbor",
        verbs: &["dock", "tow", "load", "inspect"],
        nouns: &["ferry", "yacht", "tanker", "kayak", "barge"],
        params: &[
            ("captain_name", PERSON),
            ("berth_number", int(1, 120)),
            ("cargo_tons", num(5, 9000)),
            ("tide_level", num(-30, 60)),
            ("pilot_needed", YES),
            ("home_port", CITY),
            ("deck_numbers", ints(1, 15)),
            ("flag_color", one(&["navy", "crimson", "yellow", "orange"])),
        ],
    },
    Domain {
        place: "for the laundry",
        verbs: &["rinse", "fold", "dry", "press"],
        nouns: &["shirt", "blanket", "curtain", "uniform", "carpet"],
        params: &[
            ("spin_speed", int(400, 1600)),
            ("wash_degrees", int(20, 95)),
            ("soap_dose", num(1, 90)),
            ("steam_iron", YES),
            ("stain_types", many(&["wine", "ink", "grass", "oil", "mud"])),
            ("pickup_day", DATE),
            ("customer_name", PERSON),
        ],
    },
    Domain {
        place: "for the factory",
        verbs: &["calibrate", "stop", "lubricate", "order"],
        nouns: &["conveyor", "robot", "press", "lathe", "sensor"],
        params: &[
            ("belt_speed", num(1, 90)),
            ("shift_leader", PERSON),
            ("batch_code", CODE),
            ("torque_offset", int(-40, 40)),
            ("emergency_stop", YES),
            ("station_ids", ints(1, 80)),
            ("material_kind", one(&["copper", "zinc", "nickel", "titanium"])),
        ],
    },
    Domain {
        place: "for the travel guide",
        verbs: &["suggest", "visit", "map", "photograph"],
        nouns: &["ruin", "waterfall", "cathedral", "market", "viewpoint"],
        params: &[
            ("walking_km", num(1, 300)),
            ("group_count", int(2, 45)),
            ("guide_name", PERSON),
            ("old_town", CITY),
            ("wheelchair_access", YES),
            ("tour_stops", many(&["fountain", "tower", "plaza", "chapel", "canal"])),
            ("opening_hour", TIME),
        ],
    },
    Domain {
        place: "in the laboratory",
        verbs: &["heat", "mix", "label", "dispose"],
        nouns: &["sample", "solution", "culture", "crystal", "powder"],
        params: &[
            ("flask_code", CODE),
            ("acid_level", num(0, 140)),
            ("stir_seconds", int(5, 900)),
            ("freezer_degrees", int(-86, -4)),
            ("sterile_hood", YES),
            ("reagent_names", many(&["iodine", "ethanol", "ammonia", "glucose", "saline"])),
            ("lab_owner", PERSON),
        ],
    },
];
