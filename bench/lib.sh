# What the benchmark scripts share. Sourced; nothing here prints but the functions that say so.
#
# Every ratio is paired: in each round the candidates run one after the other in random order, the ratio is taken within
# the round, and the median over the rounds is what counts. Absolute figures drift with the host; the ratios stay.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${BUILD:-$root/build/release}
work=$(mktemp -d /tmp/slipway-bench.XXXXXX)
server_core=0 client_core=1
if [ "$(nproc)" -lt 2 ]; then client_core=0; fi
children=()
# Each with its group, if it leads one: some servers are started by a script that does not pass signals on.
end_children() {
    local child
    for child in "${children[@]+"${children[@]}"}"; do
        kill -- "-$child" 2>/dev/null || kill "$child" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap end_children EXIT

rounds=${ROUNDS:-5}
seconds=${BENCH_SECONDS:-2}

# A free TCP port.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_for PORT [PATH]: until something answers there.
wait_for() {
    for _ in $(seq 600); do
        curl -s -f -o /dev/null "http://127.0.0.1:$1${2:-/}" && return 0
        sleep 0.05
    done
    echo "nothing answers on port $1" >&2
    return 1
}

# start NAME COMMAND...: in the background on the server's core; pid in $pid.
start() {
    local name=$1
    shift
    setsid taskset -c $server_core "$@" >"$work/$name.log" 2>&1 &
    pid=$!
    children+=("$pid")
}

# serve NAME MODELS [FLAG...]: starts Slipway; pid in $pid, port in $port. Nothing is recorded unless a flag says so.
serve() {
    local name=$1 models=$2
    shift 2
    port=$(free_port)
    start "$name" "$build/slipway" serve "$models" --http-address=127.0.0.1 --http-port="$port" --http-threads=1 \
        --log-level=warning --record-sync=none --data-directory="$work/data" "$@"
    wait_for "$port" /v2/health/ready || { cat "$work/$name.log" >&2; return 1; }
}

# load PORT CONNECTIONS PATH BODY PID: one run; "requests/s p50_us p99_us errors cpu_us" on standard output.
load() {
    "$build/bench/load" "$1" "$2" "$seconds" "$3" "$4" "$5" $client_core |
        awk '{ for (i = 1; i <= NF; i++) { if ($i == "p50") a = $(i + 1); if ($i == "p99") b = $(i + 1);
               if ($i == "errors") e = $(i + 1); if ($i == "cpu") c = $(i + 1) } print $1, a, b, e, c + 0 }'
}

# median: of the numbers on standard input, one a line.
median() { sort -g | awk '{v[NR] = $1} END {if (NR) print v[int((NR + 1) / 2)]; else print "-"}'; }

# field N: the N-th column.
field() { awk -v n="$1" '{print $n}'; }

# ratio A B
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {if (b > 0) printf "%.3f\n", a / b; else print "-"}'; }
