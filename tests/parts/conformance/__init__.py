"""One table of S3 requests and of what Amazon S3 answers, put to four servers.

Two of them are this project's: the HTTP endpoint, and the Object Lambda function behind its access
point. The other two, Swift's s3api and Ceph's RADOS gateway, hold the same keys as plain objects
and check the table itself: where one of them answers otherwise, `deviations` says how, and the test
fails as soon as that is no longer so.

Requests are bytes on a connection, signed by botocore's signers, with no client library between.
Cases that are those of ceph/s3-tests go by its names; docs/conformance.md says which of them do not
apply. Where they contradict captured answers of Amazon S3, these decide.
"""
