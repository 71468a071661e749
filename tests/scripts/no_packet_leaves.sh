#!/usr/bin/env bash
# No packet leaves for a host that is not configured: two sites start, join, sync, are cut and idle inside a
# network namespace that has a default route; whatever goes out on its link is captured. Needs root, iproute2,
# tcpdump, curl. Arguments: the archipel program (the one just built), and how many seconds to idle (60).
set -euo pipefail
program=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug/archipel}")
idle=${2:-60}
space="archipel-$$"
folder=$(mktemp -d)
finish() {
    ip netns pids "$space" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
    ip netns del "$space" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
inside() { ip netns exec "$space" "$@"; }

ip netns add "$space"
ip link add "aout$$" type veth peer name wan netns "$space"
ip link set "aout$$" up
inside ip link set lo up
inside sh -c 'echo 1 > /proc/sys/net/ipv6/conf/wan/disable_ipv6'
inside ip addr add 198.51.100.2/24 dev wan
inside ip link set wan up
inside ip route add default via 198.51.100.1 dev wan
inside tcpdump -Q out -i wan -w "$folder/out.pcap" -U 2>"$folder/tcpdump.log" &
sleep 1

for site in par dak; do mkdir -p "$folder/$site"; done
printf 'http = "127.0.0.1:8101"\nnet = "127.0.0.1:7501"\n[demo]\n' >"$folder/par/archipel.toml"
printf 'http = "127.0.0.1:8102"\nnet = "127.0.0.1:7502"\n[demo]\n' >"$folder/dak/archipel.toml"
echo "a-long-password" | inside "$program" --data "$folder/par" init --organisation O --code PAR --name Paris \
    --structure IT --login admin --person Admin >/dev/null
inside "$program" --data "$folder/par" run >"$folder/par.log" 2>&1 &
until inside curl -sf http://127.0.0.1:8101/health >/dev/null; do sleep 0.1; done
line=$(inside "$program" --data "$folder/par" invite --code DAK --name Dakar)
inside "$program" --data "$folder/dak" join "$line" >/dev/null
inside "$program" --data "$folder/dak" run >"$folder/dak.log" 2>&1 &
until inside curl -sf http://127.0.0.1:8102/health >/dev/null; do sleep 0.1; done
token=$(inside "$program" --data "$folder/par" token create --login admin)
call() { inside curl -sf -H "Authorization: Bearer $token" -H 'content-type: application/json' "$@"; }
call -X POST http://127.0.0.1:8101/api/v1/tickets -d '{"title":"x"}' >/dev/null
sleep 3
[ "$(call http://127.0.0.1:8101/api/v1/sync | grep -c '"connected":true')" = 1 ] || { echo "the two sites never met"; exit 1; }
call -X POST http://127.0.0.1:8101/api/v1/links/PAR -d '{"up":false}'
sleep "$idle"
call -X POST http://127.0.0.1:8101/api/v1/links/PAR -d '{"up":true}'
sleep 2

# Control: the capture must be able to see a packet, so one is sent on purpose.
inside bash -c "echo control >/dev/udp/203.0.113.9/9" || true
sleep 1
seen=$(tcpdump -nr "$folder/out.pcap" 2>/dev/null | grep -v '198.51.100.1 tell\|203.0.113.9\|who-has 198.51.100.1' || true)
control=$(tcpdump -nr "$folder/out.pcap" 2>/dev/null | grep -c 'who-has 198.51.100.1' || true)
[ "$control" -gt 0 ] || { echo "the capture saw nothing, not even the control packet"; exit 1; }
if [ -n "$seen" ]; then
    echo "packets left:"
    echo "$seen" | head -20
    exit 1
fi
echo "start, join, sync, cut, $idle s idle, mend: no packet left"
