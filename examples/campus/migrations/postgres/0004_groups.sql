-- Chapters beside interest groups, and posts that can be edited. Adds columns with constant defaults, which rewrites nothing, and indexes;
-- holds exclusive locks on campus_group and campus_post meanwhile. Safe beside the release before, to which every group is an interest group.

ALTER TABLE campus_group ADD COLUMN kind text NOT NULL DEFAULT 'interest'
    CONSTRAINT campus_group_kind_check CHECK (kind IN ('interest', 'chapter'));
-- The city or the batch that a chapter is of.
ALTER TABLE campus_group ADD COLUMN place text NOT NULL DEFAULT '';
ALTER TABLE campus_post ADD COLUMN edited_at bigint;

CREATE INDEX campus_group_name_idx ON campus_group (name, id);
CREATE INDEX campus_group_kind_idx ON campus_group (kind, name, id);
