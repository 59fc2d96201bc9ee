-- The latest finished jobs, by queue: each arm walks back along the index of ends, and none further than the bound.
SELECT queue, count(*) FILTER (WHERE state = 'succeeded') AS succeeded, count(*) FILTER (WHERE state = 'dead') AS dead,
    count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
    (extract(epoch FROM statement_timestamp() - min(finished_at)) * 1000000)::bigint AS first
FROM (
    SELECT queue, state, finished_at
    FROM (
        (
            SELECT queue, state, finished_at
            FROM jobs_queue_history
            WHERE state = 'succeeded' AND finished_at > statement_timestamp() - $2 * interval '1 microsecond'
            ORDER BY finished_at DESC
            LIMIT $1
        )
        UNION ALL
        (
            SELECT queue, state, finished_at
            FROM jobs_queue_history
            WHERE state = 'dead' AND finished_at > statement_timestamp() - $2 * interval '1 microsecond'
            ORDER BY finished_at DESC
            LIMIT $1
        )
        UNION ALL
        (
            SELECT queue, state, finished_at
            FROM jobs_queue_history
            WHERE state = 'cancelled' AND finished_at > statement_timestamp() - $2 * interval '1 microsecond'
            ORDER BY finished_at DESC
            LIMIT $1
        )
    ) AS arm
    ORDER BY finished_at DESC
    LIMIT $1
) AS latest
GROUP BY queue
