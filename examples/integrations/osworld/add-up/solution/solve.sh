#!/bin/bash
./start-desktop
total=$(awk '{ sum += $NF } END { printf "%.2f", sum }' shopping.txt)
# Into the text, to its end, and what is to be there; then it is saved.
xdotool mousemove 350 300 click 1
xdotool key alt+shift+period
xdotool type --delay 20 "Total     $total"
xdotool key Return ctrl+x ctrl+s
for _ in $(seq 100); do grep -q Total shopping.txt && break; sleep 0.1; done
