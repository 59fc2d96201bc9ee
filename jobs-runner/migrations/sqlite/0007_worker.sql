-- Who serves which queue. Adds two columns. The previous release goes on beside it, and its workers are taken to serve every queue.

ALTER TABLE jobs_queue_worker
    ADD COLUMN queue TEXT;

ALTER TABLE jobs_queue_worker
    ADD COLUMN process TEXT;
