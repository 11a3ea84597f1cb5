//! Word lists: the texts that values are drawn from, and the plain words that the base model's
//! invented tools are put together from. Written by hand for this project.
//!
//! It does not know which tools or documents use them.

use crate::rng::Rng;

/// Given names.
pub(crate) const FIRST_NAMES: &[&str] = &[
    "Maria", "Peter", "Aisha", "Tomas", "Ingrid", "Carlos", "Mei", "Nils", "Olga", "Rafael", "Sofia", "Hugo",
    "Amara", "Viktor", "Leila", "Jonas", "Clara", "Dmitri", "Yuki", "Pablo", "Greta", "Samir", "Nora",
    "Felix", "Irene", "Oscar", "Priya", "Bruno", "Helena", "Kofi", "Alma", "Simon", "Zara", "Emil", "Rosa",
    "Ivan",
];
/// Family names.
pub(crate) const LAST_NAMES: &[&str] = &[
    "Lopez", "Weber", "Okafor", "Novak", "Larsen", "Tanaka", "Moreau", "Silva", "Petrov", "Kumar", "Rossi",
    "Berg", "Haddad", "Costa", "Jansen", "Fischer", "Ortega", "Walsh", "Lind", "Marin", "Chen", "Dubois",
    "Ferrer", "Sato",
];
/// Cities.
pub(crate) const CITIES: &[&str] = &[
    "Lisbon", "Oslo", "Madrid", "Vienna", "Dublin", "Athens", "Prague", "Warsaw", "Berlin", "Paris", "Rome",
    "Milan", "Geneva", "Zurich", "Helsinki", "Tokyo", "Seoul", "Lima", "Quito", "Cairo", "Nairobi", "Lagos",
    "Accra", "Delhi", "Mumbai", "Hanoi", "Manila", "Sydney", "Boston", "Denver", "Austin", "Toronto",
    "Havana", "Bergen", "Porto", "Seville",
];
/// Words of titles and topics.
pub(crate) const TITLE_WORDS: &[&str] = &[
    "spring", "budget", "harbor", "silver", "morning", "river", "winter", "garden", "launch", "summer",
    "mountain", "ocean", "team", "project", "holiday", "sunrise", "forest", "evening", "autumn", "island",
    "planet", "mirror", "desert", "velvet", "thunder", "lantern", "meadow", "copper", "candle", "journey",
    "whisper", "marble", "signal", "horizon", "ember", "falcon", "canyon", "echo", "violet", "compass",
    "anchor", "breeze", "crystal", "dawn",
];
/// Verbs of the base model's invented tools, beside the demo's own.
pub(crate) const VERBS: &[&str] = &[
    "add", "pick", "drop", "make", "get", "set", "give", "take", "save", "read", "write", "count", "sort",
    "join", "split", "clear", "turn", "hold", "lock", "pack", "sign", "copy", "list", "update", "search",
    "select", "filter", "launch", "convert", "validate", "notify", "register", "submit", "approve", "reject",
    "import", "export", "scan",
];
/// Things of the base model's invented tools, beside the demo's own.
pub(crate) const NOUNS: &[&str] = &[
    "apple",
    "bottle",
    "button",
    "pencil",
    "basket",
    "bucket",
    "candle",
    "carton",
    "cabinet",
    "drawer",
    "engine",
    "filter",
    "folder",
    "glove",
    "helmet",
    "jar",
    "journal",
    "kettle",
    "key",
    "ladder",
    "mirror",
    "needle",
    "notebook",
    "oven",
    "paper",
    "pocket",
    "poster",
    "puzzle",
    "rocket",
    "ribbon",
    "rocker",
    "saddle",
    "shovel",
    "spoon",
    "stamp",
    "stone",
    "string",
    "tablet",
    "tent",
    "thread",
    "token",
    "trumpet",
    "tunnel",
    "umbrella",
    "valve",
    "violin",
    "wagon",
    "wallet",
    "wheel",
    "whistle",
    "wire",
    "zipper",
    "report",
    "invoice",
    "contract",
    "voucher",
    "profile",
    "policy",
    "survey",
    "badge",
    "claim",
    "lease",
    "ledger",
    "memo",
    "parade",
    "permit",
    "quota",
    "recipe",
    "roster",
    "route",
    "script",
    "subsidy",
    "summary",
    "tariff",
    "template",
    "tender",
    "ticketbook",
    "warrant",
    "widget",
];
/// Words that parameter names of invented tools are put together from, beside the demo's own.
pub(crate) const ATTRIBUTES: &[&str] = &[
    "width", "length", "depth", "height", "speed", "color", "name", "title", "label", "group", "owner",
    "status", "order", "index", "limit", "offset", "range", "scale", "shape", "style", "theme", "value",
    "weight", "count", "first", "last", "next", "prior", "main", "spare", "local", "remote", "inner",
    "outer", "upper", "lower", "left", "right", "front", "rear", "total", "extra", "final", "basic",
    "public", "private", "fixed", "open", "round", "square", "phase", "stage", "cycle", "batch", "block",
    "chain", "layer", "level", "margin", "marker", "origin", "output", "input", "period", "pattern",
    "quality", "reason", "region", "result", "sample", "section", "sector", "source", "target", "texture",
    "tone", "topic", "tracking", "unit", "user", "version", "volume", "zone", "city", "date",
];

const ONSETS: &[&str] = &[
    "b", "br", "d", "dr", "f", "fl", "g", "gl", "h", "j", "k", "kl", "l", "m", "n", "p", "pr", "qu", "r",
    "s", "st", "t", "tr", "v", "w", "z", "sh", "th",
];
const VOWELS: &[&str] = &["a", "e", "i", "o", "u", "ai", "ou", "ee"];
const CODAS: &[&str] = &["", "", "n", "r", "l", "s", "m", "x", "t", "ck", "nd"];

/// A pronounceable word of two or three syllables that no language is likely to have.
pub(crate) fn pseudo_word(rng: &mut Rng) -> String {
    let mut word = String::new();
    for _ in 0..2 + rng.below(2) {
        word.push_str(rng.pick::<&str>(ONSETS));
        word.push_str(rng.pick::<&str>(VOWELS));
    }
    word.push_str(rng.pick::<&str>(CODAS));
    word
}
