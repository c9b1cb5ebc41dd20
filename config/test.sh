#!/bin/sh
# Installs what the tests need and runs them, all or the named stages:
#
#     sh config/test.sh [plain] [examples] [asan] [gcstress] [fuzz] [lint] [tsan]
#
# tsan runs only when named; fuzz takes FUZZ_SECONDS (30) for each fuzzer. The last
# line is the sum: "N passed, N failed". A build that fails, a program that dies and
# a check that objects count as one failure each.
set -u
cd "$(dirname "$0")/.." || exit 1

passed=0
failed=0
log=$(mktemp)
trap 'rm -rf "$log" "$log.d"' EXIT
trap 'exit 130' INT TERM

# count PASSED FAILED STATUS: adds a run to the sum. A failure that the run's
# own summary does not show, and a run without tests, are failures too.
count() {
    bad=$2
    if [ "$3" -ne 0 ] && [ "$bad" -eq 0 ]; then
        echo "failed with status $3"
        bad=1
    fi
    passed=$((passed + $1))
    failed=$((failed + bad))
}

# run COMMAND...: runs it into the log as well; the result is its status.
run() {
    { "$@" 2>&1; echo "$?" >"$log.status"; } | tee "$log"
    status=$(cat "$log.status")
    rm -f "$log.status"
    return "$status"
}

# check COMMAND...: counts as one test.
check() {
    echo "-- $*"
    if "$@"; then count 1 0 0; else count 0 1 "$?"; fi
}

# build PRESET: 0 when it could be built.
build() {
    cmake --preset "$1" -D AHOST_WERROR="${AHOST_WERROR:-OFF}" >"$log" &&
        cmake --build --preset "$1" && return
    cat "$log"
    count 0 1 1
    return 1
}

# c_tests PRESET
c_tests() {
    run ctest --preset "$1" -j "$(nproc)"
    status=$?
    set -- $(sed -n \
        's/.* \([0-9]*\) tests failed out of \([0-9]*\)$/\1 \2/p' "$log") 0 0
    count $(($2 - $1)) "$1" "$status"
}

# spec_files PATH: the specs under it, a line each.
spec_files() {
    find "$1" -name '*_spec.lua' | sort
}

# busted PRESET PATH: the specs, inside the host of that build. Each file has a
# process of its own, as many at a time as there are processors: a collection
# before each step costs what the whole heap costs. It makes some specs a
# hundred times slower.
busted() {
    limit=30
    [ "$1" != gcstress ] || limit=200
    rm -rf "$log.d"
    mkdir "$log.d"
    spec_files "$2" | xargs -P "$(nproc)" -I '{}' sh -c '
        out=$3.d/$(echo "$4" | tr / .)
        timeout -k 10 400 "build/$1/ahost" test --timeout "$2" "$4" >"$out" 2>&1
        echo "$?" >"$out.status"' busted "$1" "$limit" "$log" '{}'
    for file in $(spec_files "$2"); do
        out=$log.d/$(echo "$file" | tr / .)
        echo "-- $file"
        cat "$out"
        count_busted "$out" "$(cat "$out.status")"
    done
}

# count_busted LOG STATUS: adds what one run of busted printed:
# "5 successes / 1 failure / 0 errors / 0 pending : 0.1 seconds"
count_busted() {
    status=$2
    set -- $(sed -n "s/$(printf '\033')\[[0-9;]*m//g
        s|^\([0-9]*\) success.* / \([0-9]*\) failure.* / \([0-9]*\) error.* / \([0-9]*\) pending.*|\1 \2 \3 \4|p" \
        "$1" | tail -n 1)
    if [ $# -ne 4 ] || [ $(($1 + $2 + $3 + $4)) -eq 0 ]; then
        echo "no tests were run"
        count 0 1 "$status"
    else
        count "$1" $(($2 + $3)) "$status"
    fi
}

suites() {
    build "$1" && c_tests "$1" && busted "$1" spec
}

# Runs every fuzzer, as many at a time as there are processors. Findings stay in
# build/fuzz/found. Leaks are looked for at the end: a state that lives on frees
# later, which would make libFuzzer look after each run.
fuzz_all() {
    build fuzz || return
    rm -rf "$log.d"
    mkdir -p "$log.d" build/fuzz/found
    for file in spec/fuzz/*.lua; do basename "$file" .lua; done |
        xargs -P "$(nproc)" -I '{}' sh -c '
            mkdir -p "build/fuzz/corpus/$3" "spec/fuzz/corpus/$3"
            "build/fuzz/fuzz_$3" -max_total_time="$1" -timeout=20 -verbosity=0 \
                -detect_leaks=0 -artifact_prefix="build/fuzz/found/$3-" \
                "build/fuzz/corpus/$3" "spec/fuzz/corpus/$3" >"$2/$3" 2>&1
            echo "$?" >"$2/$3.status"' fuzz "${FUZZ_SECONDS:-30}" "$log.d" '{}'
    for file in spec/fuzz/*.lua; do
        out=$log.d/$(basename "$file" .lua)
        echo "-- $file"
        tail -n 40 "$out"
        status=$(cat "$out.status")
        [ "$status" -eq 0 ] && count 1 0 0 || count 0 1 "$status"
    done
}

stage() {
    case $1 in
    plain) suites release ;;
    examples) build release && busted release examples ;;
    asan | tsan | gcstress) suites "$1" ;;
    fuzz) fuzz_all ;;
    lint)
        check clang-format --dry-run -Werror \
            $(find host spec examples -name '*.[ch]' | sort)
        check luacheck --quiet --no-color lua components spec examples
        ;;
    *)
        echo "no such stage: $1" >&2
        exit 2
        ;;
    esac
}

export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
export TSAN_OPTIONS="${TSAN_OPTIONS:-suppressions=$PWD/config/tsan.supp}"

sh config/packages/install.sh build test reference || exit 1
[ $# -gt 0 ] || set -- plain examples asan gcstress fuzz lint
for name in "$@"; do
    started=$(date +%s)
    echo "== $name"
    stage "$name"
    echo "== $name: $(($(date +%s) - started)) s"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
