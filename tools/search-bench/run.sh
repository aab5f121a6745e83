#!/usr/bin/env bash
# How fast is searching in a million messages, over REST, from the request to the last byte of the answer?
#
#   eval "$(cargo dev env)" && cargo build && tools/search-bench/run.sh
#   DATABASE_SERVER=postgres://user:password@host:5432 GATEWAY=path/to/gateway tools/search-bench/run.sh
#
# Makes a database of its own on that server and drops it at the end (KEEP=1 keeps it, and the next run uses it). Needs psql, pgbench
# and curl. What came out once, and what it means: README.md beside this.
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=${ROUNDS:-40}
server=${DATABASE_SERVER:-${DATABASE_URL:+${DATABASE_URL%/*}}}
[ -n "$server" ] || { echo 'Which PostgreSQL? Set DATABASE_SERVER, or: eval "$(cargo dev env)"' >&2; exit 1; }
gateway=${GATEWAY:-${CARGO_TARGET_DIR:-target}/debug/gateway}
name=search_bench
base=http://127.0.0.1:${PORT:-18456}
work=$(mktemp -d)

admin() { psql -X -q -v ON_ERROR_STOP=1 -d "$server/postgres" "$@"; }
db() { psql -X -q -v ON_ERROR_STOP=1 -d "$server/$name" "$@"; }
stop() {
    [ -z "${pid:-}" ] || { kill "$pid" && wait "$pid"; } 2>/dev/null || true
    [ -n "${KEEP:-}" ] || admin -c "drop database if exists $name with (force)"
    rm -rf "$work"
}
trap stop EXIT

[ -x "$gateway" ] || { echo "No gateway at $gateway: cargo build, or set GATEWAY" >&2; exit 1; }
is_new=
if [ -z "$(admin -At -c "select 1 from pg_database where datname = '$name'")" ]; then
    is_new=1
    admin -c "create database $name"
fi

# Neither Redis nor S3 matter to searching, and the gateway does without.
DATABASE_URL=$server/$name REDIS_URL=${REDIS_URL:-redis://127.0.0.1:1} S3_ENDPOINT=http://127.0.0.1:1 S3_ACCESS_KEY_ID=x \
    S3_SECRET_ACCESS_KEY=x JWT_SECRET='a secret for benchmarks, thirty-two bytes' BCRYPT_COST=4 RATE_LIMITS=off \
    ACCESS_TOKEN_TTL=12h LISTEN="${base#http://}" OPS_LISTEN=127.0.0.1:0 "$gateway" serve >"$work/log" 2>&1 &
pid=$!
until curl -s "$base/health" >/dev/null && kill -0 "$pid"; do
    kill -0 "$pid" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
    sleep 0.5
done

post() { curl -fsS -H 'content-type: application/json' -d "$2" "$base$1"; }
if [ -n "$is_new" ]; then
    post /api/auth/register '{"username":"bench","password":"Password123","passwordConfirm":"Password123"}' >"$work/bench"
    echo "Making a million messages …"
    SECONDS=0
    db -o "$work/out" -f tools/search-bench/generate.sql
    echo "… took $SECONDS s. Condensing them …"
fi
SECONDS=0
while [ "$(db -At -c 'select count(*) from search_due')" -gt 0 ]; do sleep 1; done
db -c 'vacuum analyze'
echo "… took $SECONDS s. Tables, indexes and texts, in MB:"
db -At -F ' ' -c "select relname, pg_total_relation_size(oid) / 1048576 from pg_class where relname in ('messages', 'search_segments') order by 1"

token() {
    post /api/auth/login "{\"username\":\"$1\",\"password\":\"Password123\"}" | sed 's/.*"accessToken":"\([^"]*\)".*/\1/'
}
# Milliseconds of processor time that the gateway and its connections to PostgreSQL have used, if they are on this machine: unlike
# the time of day it is the same however busy the machine is.
cpu() {
    local pids
    pids="$pid $(db -At -c "select string_agg(pid::text, ' ') from pg_stat_activity where datname = '$name' and application_name = 'gateway'")"
    for p in $pids; do cat "/proc/$p/stat" 2>/dev/null || true; done | awk '{ ticks += $14 + $15 } END { print ticks * 10 }'
}
summary() {
    sort -n "$1" | awk '{ t[NR] = $1; if ($1 < 100) fast++ } END { printf "%d searches, p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, %.1f %% under 100 ms\n", NR, t[int(NR / 2) + 1], t[int(NR * 0.95)], t[int(NR * 0.99)], fast * 100 / NR }'
}
question() {
    # $1 person, $2 what kind of question, $3 the query; the time of every answer in milliseconds goes to a file.
    local config=$work/curl i
    : >"$config"
    for ((i = 0; i < rounds + 3; i++)); do
        printf 'url = "%s/api/messages/search?%s"\noutput = "%s"\n' "$base" "$3" "$work/answer" >>"$config"
    done
    local before
    before=$(cpu)
    curl -sS -H "authorization: Bearer $1" -w '%{http_code} %{time_total}\n' -K "$config" | tail -n "$rounds" >"$work/times"
    if grep -qv '^200 ' "$work/times"; then echo "$2: $(cat "$work/answer")" >&2; exit 1; fi
    awk '{ print $2 * 1000 }' "$work/times" | sort -n >"$work/sorted"
    cat "$work/sorted" >>"$work/all"
    awk -v what="$2" -v cpu="$((($(cpu) - before) / (rounds + 3)))" -v total="$(sed 's/.*"total":\([0-9]*\).*/\1/' "$work/answer")" \
        '{ t[NR] = $1 } END { printf "| %-44s | %5s | %6.1f | %6.1f | %4d |\n", what, total, t[int(NR / 2) + 1], t[int(NR * 0.95)], cpu }' "$work/sorted"
}
questions() {
    # $1 person, $2 a filter
    question "$1" 'common word (meeting)' "q=meeting$2"
    question "$1" 'another form of a word (runs)' "q=runs$2"
    question "$1" 'stop word (the)' "q=the$2"
    question "$1" 'part of a word (staur)' "q=staur$2"
    question "$1" 'words that seldom meet (holiday budget)' "q=holiday+budget$2"
    question "$1" 'a phrase (the meeting)' "q=the+meeting$2"
    question "$1" 'rare word (Zanzibar)' "q=Zanzibar$2"
    question "$1" 'rare, literally (R&D)' "q=R%26D$2"
    question "$1" 'wildcards (100%_d)' "q=100%25_d$2"
    question "$1" 'backslash (\\o/)' "q=%5Co%2F$2"
    question "$1" 'emoji' "q=%F0%9F%8E%89$2"
    question "$1" 'Cyrillic' "q=%D0%9F%D0%A0%D0%98%D0%92%D0%95%D0%A2$2"
    question "$1" 'one rare character (a cat, in Japanese)' "q=%E7%8C%AB$2"
    question "$1" 'one character (e)' "q=e$2"
    question "$1" 'one character, rarely said (%)' "q=%25$2"
    question "$1" 'two characters (xq)' "q=xq$2"
    question "$1" 'two characters that nobody said (qz)' "q=qz$2"
    question "$1" 'nothing is found: a word' "q=photosynthesis$2"
    question "$1" 'nothing is found: short, stemmed (aping)' "q=aping$2"
    question "$1" 'nothing is found: three letters' "q=zqj$2"
    question "$1" 'nothing is found: emoji' "q=%F0%9F%A6%A9$2"
    question "$1" 'second page (meeting, until July)' "q=meeting&cursor=2026-07-01T00:00:00Z$2"
    question "$1" '100 hits (report)' "q=report&limit=100$2"
}
for run in "user_1 500,000 messages" "user_2&chatId=00000000-0000-7000-9000-000000000001 the chat with 300,000 messages" "user_1500 a usual number of messages"; do
    person=${run%% *} title=${run#* }
    filter=${person#"${person%%&*}"} person=${person%%&*}
    printf '\n%s in %s\n\n| question | total | p50 ms | p95 ms | CPU ms |\n|---|--:|--:|--:|--:|\n' "$person" "$title"
    : >"$work/all"
    questions "$(token "$person")" "$filter"
    cat "$work/all" >>"$work/everything"
    printf '\nOf this person: '
    summary "$work/all"
done
printf '\nAll together: '
summary "$work/everything"

echo
echo "What sending costs: transactions a second of two clients that insert messages, as often as they can"
sends() { pgbench -n -M prepared -c 2 -j 2 -T 8 -f tools/search-bench/send.sql "$server/$name" 2>"$work/pgbench" | sed -n 's/^tps = \([0-9]*\).*/\1/p'; }
sends >"$work/warm"
for round in 1 2 3; do echo "while they are being condensed, round $round: $(sends)"; done
kill "$pid" && wait "$pid" || true
pid=
for round in 1 2 3; do
    with=$(sends)
    db -c 'alter table messages disable trigger user'
    without=$(sends)
    db -c 'alter table messages enable trigger user'
    echo "without a gateway, round $round: $with; without triggers: $without"
done
