-- The latest finished jobs, by queue: each arm walks back along the index of ends, and none further than the bound.
SELECT queue, count(*) FILTER (WHERE state = 'succeeded') AS succeeded, count(*) FILTER (WHERE state = 'dead') AS dead,
    count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
    CAST(unixepoch('subsec') * 1000000 AS INTEGER) - min(finished_at) AS first
FROM (
    SELECT queue, state, finished_at
    FROM (
        SELECT *
        FROM (
            SELECT queue, state, finished_at
            FROM jobs_queue_history
            WHERE state = 'succeeded' AND finished_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $2
            ORDER BY finished_at DESC
            LIMIT $1
        )
        UNION ALL
        SELECT *
        FROM (
            SELECT queue, state, finished_at
            FROM jobs_queue_history
            WHERE state = 'dead' AND finished_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $2
            ORDER BY finished_at DESC
            LIMIT $1
        )
        UNION ALL
        SELECT *
        FROM (
            SELECT queue, state, finished_at
            FROM jobs_queue_history
            WHERE state = 'cancelled' AND finished_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $2
            ORDER BY finished_at DESC
            LIMIT $1
        )
    )
    ORDER BY finished_at DESC
    LIMIT $1
)
GROUP BY queue
