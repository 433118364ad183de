from lumbar_ext.anatomy import LANDMARKS, LEFT_RIGHT_SWAP, PROCESS_LANDMARKS


def test_swapping_sides_twice_restores_the_order_and_exchanges_left_with_right():
    swapped = [LANDMARKS[i] for i in LEFT_RIGHT_SWAP]
    assert [swapped[i] for i in LEFT_RIGHT_SWAP] == list(LANDMARKS)
    assert swapped == [n.replace("left", "?").replace("right", "left").replace("?", "right") for n in LANDMARKS]


def test_process_landmarks_are_the_processes():
    assert [LANDMARKS[i] for i in PROCESS_LANDMARKS] == [n for n in LANDMARKS if n.endswith("process")]
