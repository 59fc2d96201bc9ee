-- Who was told of a post is kept by post, as it is written: a post tells thousands at once, who lie side by side now. By person each of
-- them was another page. What somebody was told is found by the posts of their groups.
-- Rewrites campus_notification. Safe beside the previous release, which reads by person more slowly.

CREATE TABLE campus_told (
    post_id TEXT NOT NULL COLLATE BINARY,
    person_id TEXT NOT NULL COLLATE BINARY,
    created_at INTEGER NOT NULL,
    -- Telling somebody of a post twice is telling them once: the job may run again.
    CONSTRAINT campus_notification_pkey PRIMARY KEY (post_id, person_id)
) STRICT, WITHOUT ROWID;

INSERT INTO campus_told (post_id, person_id, created_at)
SELECT post_id, person_id, created_at
FROM campus_notification
ORDER BY post_id, person_id;

DROP TABLE campus_notification;

ALTER TABLE campus_told RENAME TO campus_notification;
