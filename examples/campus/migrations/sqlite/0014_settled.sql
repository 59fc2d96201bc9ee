-- What was settled long ago is forgotten, oldest first.
-- Creates an index; safe beside the previous release.

CREATE INDEX campus_delivery_settled_idx ON campus_delivery (settled_at);
