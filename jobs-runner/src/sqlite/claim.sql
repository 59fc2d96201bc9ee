-- Of a queue without limits. One statement is alone on the database: nothing needs to be locked or skipped. Each priority is a walk of its own that ends
-- at the present: what is due later costs nothing, however urgent. The signs
-- keep SQLite from preparing the statement again for every call, as it does with a bare parameter that it might compare with the
-- condition of a partial index, or that limits a subquery.
UPDATE jobs_queue_job
SET state = 'running', attempt = attempt + 1, token = $4, worker = $5,
    attempted_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
WHERE id IN (
    SELECT id
    FROM jobs_queue_job AS job
    WHERE queue = +$1 AND limit_key IS NULL AND priority IN (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
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
        AND NOT EXISTS (SELECT 1 FROM jobs_queue_limit WHERE key = 'queue:' || $1)
        AND NOT EXISTS (
            SELECT 1
            FROM jobs_queue_job
            WHERE queue = $1 AND state <> 'running' AND limit_key IS NOT NULL
        )
    ORDER BY priority, run_at, id
    LIMIT +$3
)
RETURNING id, kind, payload, attempt, max_attempts, timeout, priority, run_at, order_key IS NOT NULL AS is_awaited, trace,
    attempted_at
