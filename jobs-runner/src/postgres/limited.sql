-- Claims in a queue that is limited, or that holds jobs with limit keys. Of a queue without either, `turn.sql` claims.
WITH RECURSIVE -- The limit keys of jobs in this queue: one step for each, however many jobs share it.
asked AS (
    SELECT (
            SELECT limit_key
            FROM jobs_queue_job
            WHERE queue = $1 AND limit_key IS NOT NULL
            ORDER BY limit_key
            LIMIT 1
        ) AS key
    UNION ALL
    SELECT (
            SELECT limit_key
            FROM jobs_queue_job
            WHERE queue = $1 AND limit_key > asked.key
            ORDER BY limit_key
            LIMIT 1
        )
    FROM asked
    WHERE key IS NOT NULL
),
-- What each of them, and the queue itself, leaves room for as far as this snapshot tells; nothing there: for anything.
door AS MATERIALIZED (
    SELECT asked.key, is_queue, is_limited, allowed.rate, allowed.period, gate.claim AS seen, gate.times, gate.counts,
        LEAST(allowed.concurrency - running.count, allowed.rate - begun.count) AS room,
        CASE
            WHEN begun.count >= allowed.rate THEN begun.first_at + allowed.period * interval '1 microsecond'
        END AS opens_at
    FROM (
        SELECT key, false AS is_queue
        FROM asked
        WHERE key IS NOT NULL
        UNION ALL
        SELECT 'queue:' || $1, true
    ) AS asked
    LEFT JOIN jobs_queue_limit AS own ON own.key = asked.key
    LEFT JOIN jobs_queue_limit AS common ON own.key IS NULL AND common.key = split_part(asked.key, ':', 1)
    CROSS JOIN LATERAL (
        SELECT COALESCE(own.key, common.key) IS NOT NULL AS is_limited,
            COALESCE(own.concurrency, common.concurrency) AS concurrency, COALESCE(own.rate, common.rate) AS rate,
            COALESCE(own.period, common.period) AS period
    ) AS allowed
    LEFT JOIN jobs_queue_gate AS gate ON is_limited AND gate.key = asked.key
    CROSS JOIN LATERAL (
        SELECT count(*)
        FROM jobs_queue_slot AS slot
        WHERE allowed.concurrency IS NOT NULL AND slot.key = asked.key
            AND (SELECT token FROM jobs_queue_job WHERE id = slot.job_id) = slot.token
    ) AS running
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(count), 0) AS count, min(at) AS first_at
        FROM unnest(gate.times, gate.counts) AS began (at, count)
        WHERE at > statement_timestamp() - allowed.period * interval '1 microsecond'
    ) AS begun
),
quota AS MATERIALIZED (
    SELECT GREATEST(LEAST($3, room), 0) AS size
    FROM door
    WHERE is_queue
),
-- Materialised, the locking query runs once: joined or repeated, it would lock and claim more than its limit. Each priority is
-- a walk of its own that ends at the present: what is due later costs nothing, however urgent. The filter of kinds is written
-- so that the planner does not take it for selective: a runner knows most kinds.
free AS MATERIALIZED (
    SELECT job.id, job.order_key, level.priority, job.run_at
    FROM generate_series(0, 9) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT id, order_key, run_at
        FROM jobs_queue_job AS job
        WHERE queue = $1 AND limit_key IS NULL AND priority = level.priority AND run_at <= statement_timestamp()
            AND run_at >= ($6::timestamptz[])[level.priority + 1]
            AND state <> 'running' AND array_position($2, kind) IS NOT NULL
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
        LIMIT (SELECT size FROM quota)
        FOR UPDATE SKIP LOCKED
    ) AS job
    WHERE NOT EXISTS (SELECT FROM jobs_queue_pause WHERE queue = $1)
    LIMIT (SELECT size FROM quota)
),
-- The first jobs of each key that has room, whatever others have passed over meanwhile ($7 is before them all, which the planner
-- does not know: it would expect so many rows that it compiled the statement at every turn). They are locked once they are
-- chosen: of thousands of keys few are.
keyed AS MATERIALIZED (
    SELECT id, order_key, key, priority, run_at
    FROM (
        SELECT job.id, job.order_key, job.run_at, level.priority, door.key, door.room,
            row_number() OVER (PARTITION BY door.key ORDER BY level.priority, job.run_at, job.id) AS place
        FROM door
        CROSS JOIN generate_series(0, 9) AS level (priority)
        CROSS JOIN LATERAL (
            SELECT id, order_key, run_at
            FROM jobs_queue_job AS job
            WHERE queue = $1 AND limit_key = door.key AND priority = level.priority AND run_at <= statement_timestamp()
                AND run_at >= $7
                AND state <> 'running' AND array_position($2, kind) IS NOT NULL
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
            LIMIT LEAST(door.room, $3)
        ) AS job
        WHERE NOT door.is_queue AND (door.room IS NULL OR door.room > 0) AND (SELECT size FROM quota) > 0
            AND NOT EXISTS (SELECT FROM jobs_queue_pause WHERE queue = $1)
    ) AS job
    WHERE room IS NULL OR place <= room
),
due AS MATERIALIZED (
    SELECT id, order_key, NULL AS key
    FROM free
    WHERE NOT EXISTS (SELECT FROM keyed)
    UNION ALL
    (
        SELECT id, order_key, key
        FROM (
            SELECT id, order_key, NULL AS key, priority, run_at
            FROM free
            UNION ALL
            SELECT id, order_key, key, priority, run_at
            FROM keyed
        ) AS job
        WHERE EXISTS (SELECT FROM keyed)
        ORDER BY priority, run_at, id
        LIMIT (SELECT size FROM quota)
    )
),
sure AS MATERIALIZED (
    SELECT id, order_key, key
    FROM due
    WHERE key IS NULL
    UNION ALL
    SELECT due.id, order_key, key
    FROM due
    CROSS JOIN LATERAL (
        SELECT
        FROM jobs_queue_job AS job
        WHERE job.id = due.id AND state <> 'running'
        FOR UPDATE SKIP LOCKED
    ) AS job
    WHERE key IS NOT NULL
),
wanted AS MATERIALIZED (
    SELECT door.key, is_queue, seen, rate, period, times, counts, sure.count
    FROM door
    CROSS JOIN LATERAL (
        SELECT count(*)
        FROM sure
        WHERE door.is_queue OR sure.key = door.key
    ) AS sure
    WHERE door.is_limited AND sure.count > 0
),
-- Nobody waits at a gate: a claim that is at it, or has been since the snapshot, leaves nothing that is certain.
latch AS MATERIALIZED (
    SELECT wanted.key
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT claim
        FROM jobs_queue_gate AS gate
        WHERE gate.key = wanted.key
        FOR UPDATE SKIP LOCKED
    ) AS gate
    WHERE gate.claim = wanted.seen
),
-- A minute more than it takes, for statements whose snapshot is older than what they will find.
entered AS (
    INSERT INTO jobs_queue_gate AS gate (key, claim, times, counts, idle_at)
    SELECT key, $4, COALESCE(began.times, wanted.times), COALESCE(began.counts, wanted.counts),
        statement_timestamp() + COALESCE(period, 0) * interval '1 microsecond' + interval '1 minute'
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT array_agg(at ORDER BY at) AS times, array_agg(count ORDER BY at) AS counts
        FROM (
            SELECT max(at) AS at, sum(count)::integer AS count
            FROM (
                SELECT at, count
                FROM unnest(wanted.times, wanted.counts) AS began (at, count)
                WHERE at > statement_timestamp() - wanted.period * interval '1 microsecond'
                UNION ALL
                SELECT statement_timestamp(), wanted.count
            ) AS began
            WHERE wanted.rate IS NOT NULL
            GROUP BY floor(extract(epoch FROM at) * 1000000 / (wanted.period / 20))
        ) AS began
    ) AS began
    WHERE seen IS NULL OR key IN (SELECT key FROM latch)
    ORDER BY key
    ON CONFLICT ON CONSTRAINT jobs_queue_gate_pkey DO UPDATE
        SET claim = excluded.claim, times = excluded.times, counts = excluded.counts, idle_at = excluded.idle_at
        WHERE gate.key IN (SELECT key FROM latch)
    RETURNING key
),
shut AS MATERIALIZED (
    SELECT key, is_queue
    FROM wanted
    WHERE key NOT IN (SELECT key FROM entered)
),
admitted AS MATERIALIZED (
    SELECT id, order_key
    FROM sure
    WHERE NOT EXISTS (SELECT FROM shut WHERE is_queue OR shut.key = sure.key)
),
-- An earlier job of the same key may have come to light between the snapshots of two claims: one of them gets the key.
in_order AS (
    INSERT INTO jobs_queue_order (key, job_id)
    SELECT order_key, id
    FROM admitted
    WHERE order_key IS NOT NULL
    ORDER BY order_key
    ON CONFLICT ON CONSTRAINT jobs_queue_order_pkey DO NOTHING
    RETURNING job_id
),
claimed AS (
    UPDATE jobs_queue_job AS job
    SET state = 'running', attempt = attempt + 1, token = $4, worker = $5, attempted_at = statement_timestamp()
    FROM admitted
    WHERE job.id = admitted.id AND (admitted.order_key IS NULL OR admitted.id IN (SELECT job_id FROM in_order))
    RETURNING job.id, kind, payload, attempt, max_attempts, timeout, priority, run_at, job.order_key, limit_key, trace,
        attempted_at
),
taken_slot AS (
    INSERT INTO jobs_queue_slot (key, job_id, token)
    SELECT door.key, job.id, $4
    FROM door
    CROSS JOIN LATERAL (
        SELECT id
        FROM claimed
        WHERE door.is_queue OR claimed.limit_key = door.key
    ) AS job
    WHERE door.is_limited
),
left_slot AS (
    DELETE FROM jobs_queue_slot AS slot
    USING entered
    WHERE slot.key = entered.key
        AND (SELECT token FROM jobs_queue_job WHERE id = slot.job_id) IS DISTINCT FROM slot.token
)
SELECT id, NULL::text AS state, kind, payload, attempt, max_attempts, timeout, priority, run_at,
    order_key IS NOT NULL OR limit_key IS NOT NULL OR (SELECT is_limited FROM door WHERE is_queue) AS is_awaited, trace,
    attempted_at
FROM claimed
UNION ALL
SELECT NULL, NULL, NULL, NULL, 0, 0, (extract(epoch FROM min(at) - statement_timestamp()) * 1000000)::bigint, 0::smallint, NULL,
    false, NULL, NULL
FROM (
    SELECT opens_at
    FROM door
    UNION ALL
    SELECT statement_timestamp() + interval '10 milliseconds'
    FROM shut
) AS opening (at)
HAVING min(at) IS NOT NULL
