-- The limit keys of waiting jobs in this queue, one step each however many jobs share it, and the queue itself: what each allows,
-- how many run under it, and what began. (Signs: see `claim.sql`.)
WITH RECURSIVE asked (key) AS (
    SELECT min(limit_key)
    FROM jobs_queue_job
    WHERE queue = +$1 AND state <> 'running' AND limit_key IS NOT NULL
    UNION ALL
    SELECT (
            SELECT min(limit_key)
            FROM jobs_queue_job
            WHERE queue = +$1 AND state <> 'running' AND limit_key > asked.key
        )
    FROM asked
    WHERE key IS NOT NULL
),
door (key, is_queue) AS (
    SELECT key, false
    FROM asked
    WHERE key IS NOT NULL
    UNION ALL
    SELECT 'queue:' || $1, true
)
SELECT door.key, COALESCE(own.concurrency, common.concurrency), COALESCE(own.rate, common.rate),
    COALESCE(own.period, common.period),
    CASE
        WHEN COALESCE(own.concurrency, common.concurrency) IS NULL THEN 0
        WHEN is_queue THEN (SELECT count(*) FROM jobs_queue_job WHERE state = 'running' AND queue = $1)
        ELSE (SELECT count(*) FROM jobs_queue_job WHERE state = 'running' AND limit_key = door.key)
    END,
    gate.began
FROM door
LEFT JOIN jobs_queue_limit AS own ON own.key = door.key
LEFT JOIN jobs_queue_limit AS common
    ON own.key IS NULL AND common.key = substr(door.key, 1, instr(door.key || ':', ':') - 1)
LEFT JOIN jobs_queue_gate AS gate ON gate.key = door.key
