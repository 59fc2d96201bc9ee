-- Who serves which queue. Adds two columns; waits for nothing but a moment without other statements on jobs_queue_worker. The previous
-- release goes on beside it, and its workers are taken to serve every queue.

ALTER TABLE jobs_queue_worker
    ADD COLUMN queue text COLLATE "C",
    ADD COLUMN process text;
