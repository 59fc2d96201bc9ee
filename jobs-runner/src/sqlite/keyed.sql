-- The first due jobs of one key; each priority is a walk of its own that ends at the present. (Signs: see `claim.sql`.)
SELECT priority, run_at, id
FROM jobs_queue_job AS job
WHERE queue = +$1 AND limit_key = +$4 AND priority IN (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    AND run_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    AND state <> 'running' AND kind IN (SELECT value FROM json_each($2))
    AND (expires_at IS NULL OR expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER))
    AND (order_key IS NULL OR NOT EXISTS (
        SELECT 1
        FROM jobs_queue_job AS other
        WHERE other.order_key = job.order_key AND other.id <> job.id
            AND (other.id < job.id OR other.state = 'running')
    ))
    AND NOT EXISTS (SELECT 1 FROM jobs_queue_pause WHERE queue = $1)
ORDER BY priority, run_at, id
LIMIT +$3
