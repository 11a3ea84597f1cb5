#!/bin/sh
# Runs fuzz targets, each for so many seconds; all of them where none is named:
#   fuzz/run.sh 120
#   fuzz/run.sh 600 answer record
set -eu
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- $(cargo +nightly fuzz list)
for target; do
    tests=../crates/chat/tests
    length=2048 more=
    case $target in
        answer) words=marks length=1024 ;;
        round_trip) words=marks length=1024 ;;
        record) words=keys more=$tests/messages ;;
        compat | dataset_info) words=keys ;;
        literal | split) words=json length=512 ;;
        tokenizer) words=tokenizer length=12000 more=$tests/golden/sentencepiece ;;
        sentencepiece) words=marks length=1024 ;;
        chat_template) words=jinja length=1500 ;;
        config) words=yaml more=../recipes ;;
        model) words=model ;;
        gguf) words=model length=6000 more=../crates/model/tests/golden/gguf ;;
        schema) words=schema length=1024 ;;
        data_file) words=keys length=600 ;;
        *) echo "no such target: $target" >&2 && exit 1 ;;
    esac
    mkdir -p "corpus/$target"
    cargo +nightly fuzz run --sanitizer none "$target" "corpus/$target" "seeds/$target" $more -- \
        -dict="dictionaries/$words.dict" -max_len=$length -max_total_time="$seconds" \
        -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
