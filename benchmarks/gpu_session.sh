#!/usr/bin/env bash
# One command on a GPU machine that is lent for minutes: goes on with the first generation's training in $RUN, leaves small files in $OUT.
# bundles/lumbar_multitask/docs/gpu.md tells how to use it. Further arguments are options of the training.
set -euo pipefail
OUT=$(realpath -m "${OUT:?folder for what comes back}")
RUN=$(realpath -m "${RUN:-runs/gpu}")
WHEELS=${WHEELS:-.gpu/wheels}
PYTHON=${PYTHON:-python3}
ROOT=$(cd "$(dirname "$0")/.." && pwd)
BUNDLE=$ROOT/bundles/lumbar_multitask
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 PYTHONPATH=$ROOT:$RUN/site
mkdir -p "$RUN/site" "$OUT"

if [ -d "$WHEELS" ] && [ -z "$(ls -A "$RUN/site")" ]; then
    "$PYTHON" -m pip install -q --no-index --no-deps --target "$RUN/site" "$WHEELS"/*.whl
fi
# seeds far from those of the test and validation cohorts on disk elsewhere; found studies are not made again
LUMBAR_EXT=("$PYTHON" -c "from lumbar_ext.cli.command import main; main()")
"${LUMBAR_EXT[@]}" simulate --output_dir "$RUN/cohort/validation" --n "${VALIDATION:-8}" --seed 700000 \
    --split validation --workers "$(nproc)" --anatomy "$ROOT/bundles/lumbar_reconstruction/models/anatomy.pt"
# every session simulates people that no session before it has shown
SESSION=$(cat "$RUN/session" 2>/dev/null || echo 0)
echo $((SESSION + 1)) > "$RUN/session"
"$PYTHON" -m monai.bundle run \
    --config_file "['$BUNDLE/configs/first_generation_train.json','$BUNDLE/configs/first_generation_stream.json','$BUNDLE/configs/first_generation_gpu.json']" \
    --meta_file "$BUNDLE/configs/first_generation_metadata.json" --bundle_root "$BUNDLE" --dataset_dir "$RUN/cohort" \
    --ckpt_dir "$RUN" --output_dir "$RUN" --stream_seed $((10000000 * (SESSION + 1))) "$@" 2>&1 | tee "$OUT/log"
"${LUMBAR_EXT[@]}" pack-weights --weights "$RUN/first_generation.pt" --output "$OUT/first_generation.pt" --part_mb 15
