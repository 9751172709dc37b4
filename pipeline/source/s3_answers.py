"""The error codes of S3: what each means, the remedy, and whether it is retryable. Called by `s3`.

The code decides, because S3 uses one HTTP status for many causes: 403 is a wrong key, a wrong clock or an archived
object.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """The meaning of one code. In `remedy`, {setting} is the variable that holds the address."""

    code: str
    meaning: str
    remedy: str
    retryable: bool = False


_KEYS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, without blanks or quotes, of this server"
_REGION = "set AWS_DEFAULT_REGION to the region of the bucket"
_KMS = "let the owner of the KMS key enable it"
_LATER = "run again later"

ANSWERS = (
    Answer(
        "NoSuchKey",
        "no such object",
        "set {setting} to one that exists, or to a folder's name with a / at its end",
    ),
    Answer(
        "NoSuchBucket",
        "no such bucket",
        "check its name in {setting}, and AWS_ENDPOINT_URL_S3 if the bucket is not on AWS",
    ),
    Answer("InvalidBucketName", "not a name of a bucket", "correct {setting}"),
    Answer(
        "AccessDenied",
        "access denied",
        "check the AWS credentials and what they may (s3:GetObject, s3:ListBucket, and kms:Decrypt if KMS encrypts the "
        "object), or set VOUCHER_S3_ANONYMOUS=1 for a public bucket",
    ),
    Answer("AllAccessDisabled", "the bucket's owner disabled all access", "ask the owner of the bucket"),
    Answer("AccountProblem", "the AWS account that owns the bucket has a problem", "ask AWS or the owner"),
    Answer("InvalidAccessKeyId", "access denied", f"check the AWS credentials: the access key is not known. {_KEYS}"),
    Answer(
        "SignatureDoesNotMatch",
        "access denied",
        f"check the AWS credentials: the secret key does not belong to the access key. {_KEYS}",
    ),
    Answer("AuthFailure", "access denied", f"check the AWS credentials. {_KEYS}"),
    Answer("InvalidToken", "the session token is not valid", "set the AWS_SESSION_TOKEN that came with the keys"),
    Answer(
        "ExpiredToken",
        "the temporary credentials expired",
        "get new ones (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN together)",
        retryable=True,  # credentials that a role, a file or a process hands out are new at the next try
    ),
    Answer("TokenRefreshRequired", "the temporary credentials must be renewed", "get new ones", retryable=True),
    Answer(
        "RequestTimeTooSkewed",
        "this machine's clock differs from the clock of S3",
        "correct this machine's clock (NTP)",
    ),
    Answer(
        "InvalidObjectState",
        "the object is archived in Glacier or Deep Archive",
        "restore it (`aws s3api restore-object`), or copy it to the class STANDARD; then run again",
    ),
    Answer(
        "InvalidRequest",
        "S3 can't serve this request",
        "if the object is encrypted with a customer's key (SSE-C), store it with SSE-S3 or KMS instead",
    ),
    Answer("KMS.DisabledException", "the object's KMS key is disabled", _KMS),
    Answer("KMS.InvalidStateException", "the object's KMS key can't be used now", _KMS),
    Answer("KMS.KMSInvalidStateException", "the object's KMS key can't be used now", _KMS),
    Answer("KMS.NotFoundException", "the object's KMS key does not exist", "store the object with another key"),
    Answer("PermanentRedirect", "the bucket lies in another region", _REGION),
    Answer("AuthorizationHeaderMalformed", "the request was signed for another region", _REGION),
    Answer("IllegalLocationConstraintException", "the bucket lies in another region", _REGION),
    Answer("PreconditionFailed", "changed since the run was planned", "run again"),
    Answer(
        "MethodNotAllowed",
        "S3 does not allow this request",
        "the newest version may be a delete marker: check {setting}",
    ),
    Answer("RequestTimeout", "S3 waited too long for the request", _LATER, retryable=True),
    Answer("SlowDown", "S3 asks for fewer requests", _LATER, retryable=True),
    Answer("Throttling", "S3 asks for fewer requests", _LATER, retryable=True),
    Answer("ThrottlingException", "S3 asks for fewer requests", _LATER, retryable=True),
    Answer("RequestLimitExceeded", "S3 asks for fewer requests", _LATER, retryable=True),
    Answer("TooManyRequests", "S3 asks for fewer requests", _LATER, retryable=True),
    Answer("BandwidthLimitExceeded", "S3 asks for fewer requests", _LATER, retryable=True),
    Answer("KMS.ThrottlingException", "KMS asks for fewer requests", _LATER, retryable=True),
    Answer("InternalError", "S3 has a fault of its own", _LATER, retryable=True),
    Answer("ServiceUnavailable", "S3 is not available", _LATER, retryable=True),
    Answer("OperationAborted", "another request changes the bucket", _LATER, retryable=True),
    Answer("ConditionalRequestConflict", "another request changes the object", _LATER, retryable=True),
    Answer("BadDigest", "the bytes were damaged on their way", _LATER, retryable=True),
    Answer("XAmzContentSHA256Mismatch", "the bytes were damaged on their way", _LATER, retryable=True),
    Answer("XMinioStorageFull", "the disk of the S3 server is full", "free space there"),
)

_BY_CODE = {answer.code: answer for answer in ANSWERS}
_CODE_OF_STATUS = {  # where an answer has no body, as that to a HEAD request, or a code that is not in the table
    301: "PermanentRedirect",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
}


def answer(code: str, status: int) -> Answer:
    """Return the meaning of S3's answer, by its code or else by its HTTP status."""
    if known := _BY_CODE.get(code) or _BY_CODE.get(_CODE_OF_STATUS.get(status, "")):
        return known
    if status >= 500:
        later = f"{_LATER}; if it stays so, check AWS_ENDPOINT_URL_S3: what answers there may not be S3"
        return Answer(code, "S3 has a fault of its own", later, retryable=True)
    return Answer(code, "S3 refused the request", "check {setting}, AWS_ENDPOINT_URL_S3 and the credentials")
