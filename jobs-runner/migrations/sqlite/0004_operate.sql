-- Finished jobs by state and end: to forget the old ones of each state, and to say what was finished lately, without a walk over
-- the history. New entries go to the end of their state, so a finish writes little more. Creates an index, which locks
-- the database against writes while it is built; safe beside the previous release.

CREATE INDEX jobs_queue_history_finished_idx
    ON jobs_queue_history (state, finished_at);
