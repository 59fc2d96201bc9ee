-- Who was told of a post is kept by post, as it is written: a post tells thousands at once, who lie side by side now. By person each of
-- them was another page. What somebody was told is found by the posts of their groups.
-- Locks campus_notification while it sorts a new index: a second for a million rows. Safe beside the previous release, which reads by
-- person more slowly.

ALTER TABLE campus_notification
    DROP CONSTRAINT campus_notification_pkey,
    ADD CONSTRAINT campus_notification_pkey PRIMARY KEY (post_id, person_id);
