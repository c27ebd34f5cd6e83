-- Finds who wrote a document first: that hub's school is the lesson's.
create index envelopes_of_doc on envelopes (collection, doc);
