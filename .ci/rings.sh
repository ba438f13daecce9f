# Runs the rings of the gate, one after the other, and tells of them. Sourced, not run; brings lib.sh with it.
#
# A ring is a named part: format and lints, the unit tests, … Its output goes to the terminal and to
# target/gate/RING.log. In a ring of tests each one that fails is run once more, alone, when the ring is through:
#
#   passes then     FLAKY: the gate goes on and is green; both outputs are kept in target/gate/flaky
#   fails again     failed: the gate goes on, tells at its end what failed, and is red
#
# shellcheck shell=bash source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

gate=$top/target/gate
# A ring that hangs shall not hold up whoever waits for an answer. At a terminal somebody can press Ctrl-C instead, which
# `timeout` would keep from the tests.
limit=()
[ "${CI:-}" != true ] || limit=(timeout --kill-after=30s 40m)

# Tests wait more than they compute, for containers, deadlines and each other.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))}

# Forgets the run before; the outermost script does it.
begin_gate() {
    rm -rf "$gate"
    mkdir -p "$gate/flaky"
}

# Runs a command as a ring. One that is no ring of tests is not tried twice.
ring() { # ring command…
    local name=$1 began=$SECONDS status=0
    shift
    run_logged "$name" "$@" || status=$?
    [ "$status" = 0 ] || failed "$name" "$name" <(tail -n 25 "$gate/$name.log")
    note_time "$name" "$began"
    return "$status"
}

# Rust's tests that `cargo test` selects by these arguments.
cargo_ring() { # ring argument…
    local name=$1 began=$SECONDS status=0 test tests=()
    shift
    run_logged "$name" "${limit[@]}" cargo test --locked --workspace --no-fail-fast "$@" || status=$?
    if [ "$status" != 0 ]; then
        mapfile -t tests < <(failed_rust_tests "$gate/$name.part")
        for test in "${tests[@]}"; do
            excerpt_rust "$test" "$gate/$name.part" >"$gate/first"
            again "$name" "$test" excerpt_rust cargo_passes "$test" "$@"
        done
        all_came_to_their_end "$gate/$name.part" ||
            failed "$name" "a test program" <(grep -A 2 "process didn't exit" "$gate/$name.part"; tail -n 15 "$gate/$name.part")
    fi
    note_time "$name" "$began"
}

# JavaScript's tests in these files, each a process of its own.
node_ring() { # ring file…
    local name=$1 began=$SECONDS status file test tests
    shift
    for file in "$@"; do
        status=0
        run_logged "$name" "${limit[@]}" node --test-reporter=tap "$file" || status=$?
        [ "$status" != 0 ] || continue
        mapfile -t tests < <(sed -n 's/^not ok [0-9]* - //p' "$gate/$name.part" | sed 's/\\\([\\#]\)/\1/g')
        for test in "${tests[@]}"; do
            excerpt_node "$test" "$gate/$name.part" >"$gate/first"
            again "$name" "$test" excerpt_node node_passes "$test" "$file"
        done
        [ ${#tests[@]} -gt 0 ] || failed "$name" "$file" <(tail -n 25 "$gate/$name.part")
    done
    note_time "$name" "$began"
}

# Runs a command; what it prints is shown, added to the ring's log, and alone in RING.part.
run_logged() { # ring command…
    local name=$1 status=0
    shift
    say "$name: $*"
    "$@" 2>&1 | tee "$gate/$name.part" || status=$?
    cat "$gate/$name.part" >>"$gate/$name.log"
    return "$status"
}

# Runs a test that has failed once more, alone. $gate/first holds what it said; the excerpt's command finds it again.
again() { # ring test excerpt command…
    local name=$1 test=$2 excerpt=$3 kept
    shift 3
    kept=$gate/flaky/$name.$(tr -c 'A-Za-z0-9_\n' - <<<"$test")
    say "$name: once more, alone: $test"
    if "$@" >"$gate/second" 2>&1; then
        mv "$gate/first" "$kept.first.log"
        mv "$gate/second" "$kept.second.log"
        echo "FLAKY: $test ($name; both outputs: ${kept#"$top/"}.*.log)" | tee -a "$gate/flaky.list"
    else
        failed "$name" "$test" <("$excerpt" "$test" "$gate/second" | grep . || tail -n 25 "$gate/second")
    fi
}

# Whether exactly this test is there and passes. Both kinds count what has passed.
cargo_passes() { # test argument…
    local test=$1 status=0
    shift
    "${limit[@]}" cargo test --locked --workspace "$@" -- --exact "$test" >"$gate/out" 2>&1 || status=$?
    cat "$gate/out"
    [ "$status" = 0 ] && grep -qE '^test result: ok\. [1-9]' "$gate/out"
}

node_passes() { # test file
    local status=0 pattern
    pattern=$(sed 's|[].*+?^${}()|[\\/]|\\&|g' <<<"$1")
    "${limit[@]}" node --test-reporter=tap --test-name-pattern="^$pattern\$" "$2" >"$gate/out" 2>&1 || status=$?
    cat "$gate/out"
    [ "$status" = 0 ] && grep -qE '^# pass [1-9]' "$gate/out"
}

# The names at the end of a failed test program's output: indented, between "failures:" and the result.
failed_rust_tests() { # log
    awk '
        /^failures:$/ { count = 0; within = 1; next }
        /^test result:/ { for (i = 0; within && i < count; i++) print names[i]; within = 0 }
        within && /^    [^ ]+$/ { names[count++] = $1 }
    ' "$1"
}

# Whether as many test programs as failed also told what failed in them: one that was killed tells nothing.
all_came_to_their_end() { # log
    local programs
    programs=$(sed -n 's/^error: \([0-9]*\) targets\{0,1\} failed.*/\1/p' "$1" | tail -n 1)
    [ "$(grep -c '^test result: FAILED' "$1")" = "${programs:-none}" ]
}

excerpt_rust() { # test log
    awk -v head="---- $1 stdout ----" '
        $0 == head { within = 1 }
        within && $0 != head && (/^---- .* stdout ----$/ || /^failures:$/) { exit }
        within
    ' "$2"
}

excerpt_node() { # test log
    # A name may hold anything, so it comes through the environment: awk reads escapes in -v.
    NAME=$1 awk '
        /^not ok / { within = 0; name = $0; sub(/^not ok [0-9]+ - /, "", name); gsub(/\\#/, "#", name); within = name == ENVIRON["NAME"] }
        within
        within && /^  \.\.\.$/ { exit }
    ' "$2"
}

# Remembers what failed, with so many lines of what it said.
failed() { # ring test output
    {
        echo "failed: $2 ($1)"
        head -n 25 "$3" | sed 's/^/    | /'
    } >>"$gate/failed.list"
    say "failed: $2"
}

note_time() { # ring began
    local line="$1: $((SECONDS - $2)) s"
    echo "$line" >>"$gate/times.list"
    say "$line"
}

# Tells what there was; its status is the gate's.
end_gate() {
    echo
    say "times"
    cat "$gate/times.list"
    if [ -e "$gate/failed.list" ]; then
        say "failed"
        cat "$gate/failed.list"
    fi
    if [ -e "$gate/flaky.list" ]; then
        say "failed once, and passed alone"
        cat "$gate/flaky.list"
    fi
    [ ! -e "$gate/failed.list" ]
}
