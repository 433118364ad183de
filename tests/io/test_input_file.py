"""What stands before every reader."""

import logging
import threading

from lumbar_ext.io.input_file import silenced


def test_silence_is_of_one_thread_and_one_logger_and_ends(caplog):
    def of_another_thread():
        logging.getLogger("loud").warning("another thread")

    with silenced("loud"):
        logging.getLogger("loud").warning("inside")
        logging.getLogger("other").warning("another logger")
        thread = threading.Thread(target=of_another_thread)
        thread.start()
        thread.join()
    logging.getLogger("loud").warning("outside")
    assert [record.message for record in caplog.records] == ["another logger", "another thread", "outside"]
