// Digest: the SHA-256 that is a chunk's or an artefact's name: who has the name can check the bytes.
#pragma once

#include "gateway/audit/digest.hh"

namespace qanat::jobs {

using audit::Digest;
using audit::parse_digest;
using audit::sha256;
using audit::to_string;

}  // namespace qanat::jobs
