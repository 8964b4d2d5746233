#!/bin/sh
# Trains the demo model again: sh train_demo.sh FOLDER. On one core of a current server CPU it takes about five hours
# (predicted, from the stages as they were run).
#
#   32, 64, 128   the autoencoder at three sizes, each starting from the last: most is learned at the small ones
#   edits         losses of local edits
#   features      EfficientNet-Lite0's features of reconstructions and edits
#   mapping       the mapping network alone, as a GAN on stylemaps
#   gan           the projected discriminator, with samples, reconstructions and edits shown to it
#   features2     as features, with more weight on edits: what the discriminator cost in squared error comes back
#   gan2          as gan, with the discriminator as it was
#   mapping2      the mapping network once more, for the encoder as it is now
#
# sh train_demo.sh FOLDER short runs every stage for two iterations, to see that it still runs.
set -e
here=$(dirname "$0")
out=$1
short=${2:-}
# its N: how many iterations a stage of N runs for.
its() { if [ "$short" ]; then echo 2; else echo "$1"; fi; }
small=
few=
if [ "$short" ]; then
  small="--count 16 --sample-every 0 --mapping-images 16 --batch 4"
  few="--count 20"
fi
train() { stylemap train --config "$here/demo.yaml" --resume "$@" $small; }
newest() { ls "$1"/checkpoints/*.pt | tail -n 1; }
autoencoder() {
  n=$(its "$1"); d=$(its "$2"); shift 2
  train --iterations "$n" --warmup-iterations "$n" --decay-iterations "$d" --no-fit-mapping "$@"
}
editing="--lambda-local-src 2 --lambda-local-ref 1 --lambda-efficientnet 0.5 --lambda-local-efficientnet 0.25"
projected="--discriminator projected --adversarial-loss hinge --freeze-mapping"
adversarial() {
  n=$(its "$1"); shift
  train --no-fit-mapping --warmup-iterations 0 $projected --batch 8 --learning-rate 0.001 --discriminator-rate 0.002 \
        --iterations "$n" --decay-iterations "$n" --decay cosine --ema-decay 0.995 \
        --lambda-adv 0.02 --lambda-w-rec 0 --lambda-d 1 --lambda-indomain-d 0.3 --lambda-local-d 0.3 \
        --lambda-indomain-e 0.02 --lambda-local-e 0.02 "$@"
}
mapping() {
  train --stage mapping --no-fit-mapping --warmup-iterations 0 --decay-iterations 0 --no-ema-rampup \
        --batch 192 --learning-rate 0.001 --r1-gamma 1 --r1-every 2 --ema-decay 0.995 --log-every 100 "$@"
}
autoencoder 1500 1000 --size 32 --output "$out/32"
autoencoder 1500 1000 --size 64 --start-from "$out/32" --output "$out/64"
autoencoder 5500 4500 --start-from "$out/64" --output "$out/128"
autoencoder 4500 4200 --start-from "$out/128" --lambda-local-src 5 --lambda-local-ref 1 --output "$out/edits"
autoencoder 650 500 --start-from "$out/edits" --batch 8 --learning-rate 0.003 $editing --output "$out/features"
mapping --start-from "$out/features" --mapping-images 8000 --iterations "$(its 9000)" --output "$out/mapping"
adversarial 1100 --start-from "$out/mapping" $editing --output "$out/gan"
autoencoder 1500 1300 --start-from "$out/gan" $projected --batch 8 --learning-rate 0.002 \
            $editing --lambda-local-src 3 --lambda-local-ref 2 --output "$out/features2"
adversarial 700 --start-from "$out/features2" $editing --lambda-local-src 3 --lambda-local-ref 2 --lambda-x-rec 7 \
            --output "$out/gan2"
mapping --start-from "$out/gan2" --mapping-images 9500 --iterations "$(its 12000)" --output "$out/mapping2"
stylemap convert "$(newest "$out/mapping2")" "$out/demo.safetensors" --precision fp16
stylemap direction --faces all --count "$(if [ "$short" ]; then echo 5; else echo 500; fi)" \
         --model "$out/demo.safetensors" --output "$out/demo_directions.safetensors"
stylemap evaluate --data builtin:faces --fit "$(if [ "$short" ]; then echo 40; else echo 4000; fi)" $few \
         --directions "$out/demo_directions.safetensors" --model "$out/demo.safetensors" \
         --output "$out/demo_metrics.json"
