#!/usr/bin/env bash
# train_all.sh VIEWS RUN PRIOR [DEVICE] [PROCESSES]: learn everything from rendered or packed views, and write the prior.
#
# An interrupted run goes on where it stopped. With a GPU the processes share it; files of weights stay below 16 MB.
set -euo pipefail
views=$1 run=$2 prior=$3 device=${4:-cpu} processes=${5:-$(nproc)}
priors=$(dirname "$0")/../priors

workers=()
for ((part = 0; part < processes; part++)); do
    "$priors" train-radiance-fields --views "$views" --out "$run/things" --device "$device" --part "$part/$processes" &
    workers+=($!)
done
for worker in "${workers[@]}"; do wait "$worker"; done

minutes=$([ "$device" = cpu ] && echo 5 || echo 2)
[ -e "$run/words/heads.safetensors" ] ||
    "$priors" train-text-encoder --out "$run/words" --device "$device" --minutes "$minutes"
"$priors" train-refinement --views "$views" --things "$run/things" --words "$run/words" --out "$run/details" \
    --device "$device" --minutes "$((2 * minutes))"
"$priors" export-text-prior --things "$run/things" --words "$run/words" --details "$run/details" --out "$prior"
