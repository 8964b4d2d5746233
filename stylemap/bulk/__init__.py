"""Work on more images than one sitting takes: listed, cut into chunks, resumed, on one machine or on Ray.

    input → jobs (`listing`, `tables`) → chunks of an output folder (`store`) → workers (`worker`, `engine`)

The list of jobs is kept in the output folder, so that a run that was killed goes on where it was. A chunk is
the unit that a worker takes; within one, a journal says which rows are done.
"""

from stylemap.bulk.jobs import OPERATIONS, Job
from stylemap.bulk.listing import list_jobs
from stylemap.bulk.run import Run
from stylemap.bulk.settings import Settings, digest

__all__ = ["OPERATIONS", "Job", "Run", "Settings", "digest", "list_jobs"]


def __dir__() -> list[str]:
    return __all__
