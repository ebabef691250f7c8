-- Smaller indexes on decisions. A name is looked for by its hash and compared then; stream and place only order records of
-- one instant, which is done when they are read. The hash is the one that partitions by hash rely on.
DROP INDEX audit.decision_by_time;
DROP INDEX audit.decision_by_principal;
DROP INDEX audit.decision_by_resource;

CREATE INDEX decision_by_time ON audit.decision (day, recorded_at);
CREATE INDEX decision_by_principal ON audit.decision (hashtextextended(principal, 0), day, recorded_at);
CREATE INDEX decision_by_resource ON audit.decision (hashtextextended(resource, 0), day, recorded_at);
