#!/bin/sh
# Trains the demo model again: sh train_demo.sh FOLDER. On one core of a current server CPU it takes 85 minutes.
# Three sizes, each starting from the last: most of what there is to learn is learned at the small ones. The last
# stage adds the losses of local edits.
set -e
here=$(dirname "$0")
out=$1
train() { stylemap train --config "$here/demo.yaml" --resume "$@"; }
train --size 32 --iterations 1500 --warmup-iterations 1500 --decay-iterations 1000 --no-fit-mapping --output "$out/32"
train --size 64 --iterations 1500 --warmup-iterations 1500 --decay-iterations 1000 --no-fit-mapping \
      --start-from "$out/32" --output "$out/64"
train --start-from "$out/64" --output "$out/128"
train --start-from "$out/128" --lambda-local-src 5 --lambda-local-ref 1 --iterations 4500 --warmup-iterations 4500 \
      --decay-iterations 4200 --output "$out/edits"
stylemap convert "$out/edits/checkpoints/00004500.pt" "$out/demo.safetensors" --precision fp16
stylemap direction --faces all --count 6000 --model "$out/demo.safetensors" --output "$out/demo_directions.safetensors"
stylemap evaluate --data faces --fit 6000 --model "$out/demo.safetensors" --output "$out/demo_metrics.json"
