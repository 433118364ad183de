"""Runs every verb that the documents name, in the order of a user who tries them all, each as small as it gets.

    python -m tests.walk_documents [--only reconstruct,motion] [--keep FOLDER]

`tests/test_documented_commands.py` holds that no verb is missing here. Prints what each took; exits with 1 if one failed.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
import traceback
from contextlib import chdir
from pathlib import Path

from lumbar_ext.bundle_paths import MULTITASK, RECONSTRUCTION, bundle_dir
from lumbar_ext.cli.command import run
from tests.radiographs.dicom_study import write_sample_study

QUICK = "--looks 0 --max_seconds 0.01"
TINY = (
    "--val_interval 1 --batch_size 2 --downsample 4 --size_px [128,128] --shift_px 8 --tensorboard false --mlflow false"
)
FEW = "--validate_every 2 --batch_size 2 --tensorboard false --mlflow false"
SMALL = "--size_px 128 --parameters plain --meshes true"

WALK = f"""
definitions
reconstruct study/IM0001 study/IM0002 study/calibration.json first --looks 0 --write_label_map true
reconstruct study/IM0001 study/IM0002 study/calibration.json second {QUICK} --landmarks first/landmarks.mrk.json
reconstruct study/IM0001 study/IM0002 study/calibration.json bobyqa --optimiser bobyqa --looks 1 --write_pdf false
motion first second --output motion.json
follow-up first second change
picture first picture.png
volume study/IM0001 study/IM0002 study/calibration.json volume --voxel_mm 4
reconstruct study/IM0001 study/IM0002 study/calibration.json with_slices {QUICK} --volume_dir volume
dicom first study/IM0001 study/IM0002 first_dicom
deidentify study/IM0001 study/IM0002 nobody
own-vertebrae study/IM0001 study/IM0002 study/calibration.json own --mesh_dir first {QUICK}
calibrate-films study/IM0001 study/IM0002 films.json --landmarks first/landmarks.json --pixel_spacing_mm 0.417
decompose --image $RECONSTRUCTION/sample/ap.png --view ap --pixel_spacing_mm 0.417 --output_dir seen
cohort study.csv many {QUICK} --workers 1
cohort-status many
cohort-retry many
cohort-report many
simulate --output_dir cohort/train --n 4 --split train {SMALL}
simulate --output_dir cohort/validation --n 3 --split validation {SMALL}
simulate --output_dir whole_grid --n 1 --split validation --parameters plain
simulate-volumes cohort/validation
evaluate-volumes "{{'mine': 'cohort/validation'}}" volumes --n_studies 1
contact-sheet --cohort_dir cohort/train --output sheet.png
pathology-sheet --output pathologies.png --seed 4
mode-picture --model $RECONSTRUCTION/models/model.pt --output modes.png --modes 1
morphometry --n 10 --output_dir morphometry
posture-check --n 3 --n_motion 2
evaluate cohort/validation evaluated --methods "['ours']" {QUICK}
evaluate-measurements cohort/validation measured --looks 0
check-measurements "{{'mine': 'measured/measurement_errors.csv'}}" --picture shares.png
check-grades "{{'mine': 'measured/vertebra_quality.csv'}}" --picture grades.png
train --dataset_dir cohort --output_dir trained --iterations 2 --warmup_iterations 0 --decay_iterations 1 {FEW}
campaign-weights --state trained/resume.pt --output campaign.pt
pack-campaign --resume trained/resume.pt --output state.pt
pack-weights --weights trained/model.pt --output packed/model.pt --part_mb 1
join-weights --parts packed --output joined.pt
evaluate-network --sets "{{'mine': 'cohort/validation'}}" --output_dir network
train-first-generation --dataset_dir cohort --max_epochs 1 --ckpt_dir first --output_dir first {TINY}
evaluate-first-generation --sets "{{'mine': 'cohort/validation'}}" --output_dir first_generation
calibrate-network --landmarks first_generation/landmarks.csv --output confidence.json
network-reliability --landmarks first_generation/landmarks.csv --calibration confidence.json --output reliability.png
evaluate-levels "{{'mine': 'cohort/validation'}}" --output levels.csv
network-errors --dataset_dir whole_grid --bundle_root $MULTITASK --output errors.json
evaluate-real marked real
cross-validate --bundle_root $MULTITASK --train_dir cohort/train --output_dir folds --folds 2 --max_epochs 1 {TINY}
ablate --bundle_root $MULTITASK --dataset_dir cohort --output_dir ablation --iterations 10 {TINY}
export-onnx --bundle_root $MULTITASK --output model.onnx
warm-up
"""

ELSEWHERE = {
    "build-shape-model": "minutes; tests/shape/test_build.py",
    "calibrate-phantom": "tests/radiographs/cameras",
    "calibrate-slot-scan": "tests/radiographs/cameras",
    "apportion-biases": "needs tables of twelve studies; tests/evaluation/test_bias_tables.py",
    "calibrate-measurements": "needs nine studies; tests/measurements/uncertainty/test_interval_calibration.py",
    "package-map": "tests/deploy, in the environment of its SDK",
    "pacs": "needs an archive; tests/pacs",
    "posture-statistics": "needs a collection of key points; tests/simulation/posture",
    "evaluate-anchors": "minutes; tests/evaluation/test_anchor_study.py",
    "evaluate-shape-values": "minutes; tests/evaluation/test_closest_instances.py",
    "simulate-ct": "needs a CT; tests/simulation/ct",
}
"""Verbs that are not walked, and who runs them."""


def commands() -> list[list[str]]:
    """The words of each command."""
    roots = {f"${name.upper()}": str(bundle_dir(bundle)) for name, bundle in _BUNDLES.items()}
    lines = [shlex.split(line) for line in WALK.strip().splitlines()]
    for sign, root in roots.items():
        lines = [[word.replace(sign, root) for word in words] for words in lines]
    return lines


_BUNDLES = {"reconstruction": RECONSTRUCTION, "multitask": MULTITASK}


def prepare() -> None:
    """What the commands read, in the current folder: the sample as DICOM, a manifest, a marked film."""
    write_sample_study(Path("study"))
    paths = ",".join(f"study/{name}" for name in ("IM0001", "IM0002", "calibration.json"))
    Path("study.csv").write_text(f"study,ap,lat,calibration\nsample,{paths}\n")
    Path("packed").mkdir()
    Path("marked").mkdir()
    film = bundle_dir(RECONSTRUCTION) / "sample" / "ap.png"
    Path("marked/film.png").write_bytes(film.read_bytes())
    boxes = [[[460, 300 + 90 * i], [560, 300 + 90 * i], [560, 360 + 90 * i], [460, 360 + 90 * i]] for i in range(5)]
    Path("marked/films.json").write_text(f'{{"film": {boxes}}}')


def main() -> int:
    """Runs them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="verbs, with commas between them")
    parser.add_argument("--keep", default="", help="folder to work in, kept; a temporary one by default")
    options = parser.parse_args()
    only, failed = set(filter(None, options.only.split(","))), []
    with tempfile.TemporaryDirectory(prefix="walk-") as temporary:
        folder = Path(options.keep or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with chdir(folder):
            if not Path("study").is_dir():
                prepare()
            for words in commands():
                if only and words[0] not in only:
                    continue
                begin = time.process_time()
                try:
                    run(words)
                except SystemExit as end:
                    if end.code:
                        failed.append(words)
                except BaseException:
                    traceback.print_exc()
                    failed.append(words)
                said = "FAILED" if failed and failed[-1] is words else "done"
                print(f"WALK {said} {time.process_time() - begin:.1f} s: {shlex.join(words)}", flush=True)
    print("\n".join([f"WALK failed: {shlex.join(words)}" for words in failed] + [f"WALK {len(failed)} failures"]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
