-- Ends claims and makes new ones: one round trip, one commit.
-- Whoever shows another token than the row's finds nothing to change.
-- Where limits apply nothing at all is done, and the answer says so: what they need would cost every other queue.
WITH limits AS MATERIALIZED (
    SELECT $9 > 0 AND (
            EXISTS (SELECT FROM jobs_queue_limit WHERE key = 'queue:' || $7)
            OR EXISTS (SELECT FROM jobs_queue_job WHERE queue = $7 AND limit_key IS NOT NULL)
        ) AS applies,
        -- Of this transaction alone: a claim does not wait for the disk.
        CASE WHEN $13 THEN set_config('synchronous_commit', 'off', true) END AS durability
),
report AS (
    SELECT *
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[])
        AS report (id, token, state, delay, error, reason)
),
-- A success asks for no decision: its row goes without being locked before.
succeeded AS (
    DELETE FROM jobs_queue_job AS job
    USING report
    WHERE job.id = report.id AND job.token = report.token AND report.state = 'succeeded' AND NOT (SELECT applies FROM limits)
    RETURNING job.id, queue, kind, payload, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key, limit_key,
        trace, progress, last_error, errors, run_at, expires_at, created_at, attempted_at
),
held AS MATERIALIZED (
    SELECT job.id, job.order_key, report.delay, report.error, report.reason,
        CASE
            WHEN job.is_cancelled THEN 'cancelled'
            WHEN report.state = 'failed' AND (report.delay IS NULL OR job.attempt >= job.max_attempts) THEN 'dead'
            ELSE report.state
        END AS state,
        CASE
            WHEN report.error IS NULL THEN job.errors
            ELSE CASE
                    WHEN jsonb_array_length(job.errors) >= 20 THEN job.errors - 0
                    ELSE COALESCE(job.errors, '[]')
                END || jsonb_build_object('attempt', job.attempt, 'error', report.error,
                    'at', (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)
        END AS errors
    FROM report
    JOIN jobs_queue_job AS job ON job.id = report.id AND job.token = report.token
    WHERE report.state <> 'succeeded' AND NOT (SELECT applies FROM limits)
    FOR UPDATE OF job
),
waiting AS (
    UPDATE jobs_queue_job AS job
    SET state = held.state,
        attempt = CASE held.state WHEN 'pending' THEN attempt - 1 ELSE attempt END,
        token = NULL, worker = NULL,
        last_error = COALESCE(held.error, last_error),
        errors = held.errors,
        run_at = statement_timestamp() + held.delay * interval '1 microsecond'
    FROM held
    WHERE job.id = held.id AND held.state IN ('pending', 'failed')
),
finished AS (
    DELETE FROM jobs_queue_job AS job
    USING held
    WHERE job.id = held.id AND held.state IN ('dead', 'cancelled')
    RETURNING job.id, queue, kind, payload, held.state, CASE held.state WHEN 'dead' THEN held.reason END AS reason, priority,
        attempt, max_attempts, crashes, timeout, unique_key, job.order_key, limit_key, trace, progress,
        COALESCE(held.error, last_error) AS last_error, held.errors, run_at, expires_at, created_at, attempted_at
),
kept AS (
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        limit_key, trace, progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at)
    SELECT id, queue, kind, payload, 'succeeded', NULL, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        limit_key, trace, progress, last_error, errors, run_at, expires_at, created_at, attempted_at, statement_timestamp()
    FROM succeeded
    UNION ALL
    SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        limit_key, trace, progress, last_error, errors, run_at, expires_at, created_at, attempted_at, statement_timestamp()
    FROM finished
),
left_key AS (
    DELETE FROM jobs_queue_unique AS held
    USING (
        SELECT id, unique_key FROM succeeded WHERE unique_key IS NOT NULL
        UNION ALL
        SELECT id, unique_key FROM finished WHERE unique_key IS NOT NULL
    ) AS gone
    WHERE held.key = gone.unique_key AND held.job_id = gone.id AND held.until IS NULL
),
left_order AS (
    DELETE FROM jobs_queue_order AS turn
    USING (
        SELECT id, order_key FROM succeeded WHERE order_key IS NOT NULL
        UNION ALL
        SELECT id, order_key FROM held WHERE order_key IS NOT NULL
    ) AS gone
    WHERE turn.key = gone.order_key AND turn.job_id = gone.id
),
-- Materialised, the locking query runs once: joined or repeated, it would lock and claim more than its limit. Each priority is
-- a walk of its own that ends at the present: what is due later costs nothing, however urgent. The filter of kinds is written
-- so that the planner does not take it for selective: a runner knows most kinds.
due AS MATERIALIZED (
    SELECT job.id, job.order_key
    FROM generate_series(0, 9) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT id, order_key
        FROM jobs_queue_job AS job
        WHERE queue = $7 AND limit_key IS NULL AND priority = level.priority AND run_at <= statement_timestamp()
            AND run_at >= ($11::timestamptz[])[level.priority + 1]
            AND state <> 'running' AND array_position($8, kind) IS NOT NULL
            AND (expires_at IS NULL OR expires_at > statement_timestamp())
            AND (order_key IS NULL OR NOT EXISTS (
                SELECT
                FROM jobs_queue_job AS earlier
                WHERE earlier.order_key = job.order_key AND earlier.id < job.id
            ) AND NOT EXISTS (
                SELECT
                FROM jobs_queue_order AS turn
                WHERE turn.key = job.order_key
            ))
        ORDER BY run_at, id
        LIMIT $9
        FOR UPDATE SKIP LOCKED
    ) AS job
    WHERE NOT (SELECT applies FROM limits) AND NOT EXISTS (SELECT FROM jobs_queue_pause WHERE queue = $7)
    LIMIT $9
),
-- An earlier job of the same key may have come to light between the snapshots of two claims: one of them gets the key.
in_order AS (
    INSERT INTO jobs_queue_order (key, job_id)
    SELECT order_key, id
    FROM due
    WHERE order_key IS NOT NULL
    ORDER BY order_key
    ON CONFLICT ON CONSTRAINT jobs_queue_order_pkey DO NOTHING
    RETURNING job_id
),
claimed AS (
    UPDATE jobs_queue_job AS job
    SET state = 'running', attempt = attempt + 1, token = $10, worker = $12, attempted_at = statement_timestamp()
    FROM due
    WHERE job.id = due.id AND (due.order_key IS NULL OR due.id IN (SELECT job_id FROM in_order))
    RETURNING job.id, kind, payload, attempt, max_attempts, timeout, priority, run_at, job.order_key IS NOT NULL AS is_awaited, trace,
        attempted_at
)
-- Successes are told in one row.
SELECT NULL::bigint AS id, 'succeeded' AS state, NULL AS kind, NULL AS payload, 0 AS attempt, 0 AS max_attempts,
    NULL::bigint AS timeout, 0::smallint AS priority, NULL::timestamptz AS run_at, false AS is_awaited,
    NULL AS trace, NULL::timestamptz AS attempted_at, ARRAY(SELECT id FROM succeeded) AS ids
UNION ALL
SELECT id, state, NULL, NULL, 0, 0, NULL, 0::smallint, NULL, false, NULL, NULL, NULL
FROM held
UNION ALL
SELECT id, NULL, kind, payload, attempt, max_attempts, timeout, priority, run_at, is_awaited, trace, attempted_at, NULL
FROM claimed
UNION ALL
SELECT NULL, NULL, NULL, NULL, 0, 0, NULL, 0::smallint, NULL, false, NULL, NULL, NULL
FROM limits
WHERE applies
