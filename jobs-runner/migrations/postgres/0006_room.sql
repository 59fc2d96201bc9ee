-- Room for a claim: a claimed row is 24 bytes longer, and a page that was half full of the smallest rows could not hold the second
-- version of all of them, so every sixth claim of such jobs wrote the indexes too. And a narrower index of the ends: nearly all jobs
-- succeed, and theirs need no state. Waits for nobody who reads or writes jobs_queue_job, and keeps what it holds where it is; locks
-- jobs_queue_history against writes while its two indexes are built. The previous release goes on beside it, but may read the
-- whole history to prune it.

ALTER TABLE jobs_queue_job SET (fillfactor = 44);

DROP INDEX jobs_queue_history_finished_idx;

CREATE INDEX jobs_queue_history_succeeded_idx
    ON jobs_queue_history (finished_at)
    WHERE state = 'succeeded';

CREATE INDEX jobs_queue_history_finished_idx
    ON jobs_queue_history (state, finished_at)
    WHERE state <> 'succeeded';
