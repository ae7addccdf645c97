#include "gateway/jobs/errc.hh"

#include <string>

namespace qanat::jobs {
namespace {

struct Word {
  Errc errc;
  int status;
  std::string_view code, text, clause;
};
constexpr Word kWords[] = {
    {Errc::BadManifest, 400, "bad_manifest", "not a manifest", ""},
    {Errc::BadDigest, 400, "bad_digest", "the bytes are not what their digest says", ""},
    {Errc::QuotaExceeded, 507, "quota_exceeded", "the artefact store's quota is used up", ""},
    {Errc::ChunksMissing, 409, "chunks_missing", "chunks of the artefact are missing", ""},
    {Errc::NoSuchArtefact, 404, "no_such_artefact", "no such artefact", ""},
    {Errc::BadTicket, 403, "bad_ticket", "no ticket for this from a gateway that is trusted here", ""},
    {Errc::BadMultipart, 400, "bad_multipart", "not a multipart form", ""},
    {Errc::BadDataset, 400, "invalid_training_file", "not JSON lines of chat messages", ""},
    {Errc::DeadlineTooEarly, 409, "deadline_too_early", "it cannot be there by then", ""},
    {Errc::NoRoute, 404, "no_such_site", "no such site", ""},
    {Errc::BadContract, 400, "bad_contract", "not a contract, or not signed as one", ""},
    {Errc::ContractOwner, 403, "contract_users", "the contract does not name this user", "users"},
    {Errc::ContractSite, 403, "contract_sites", "the contract does not allow this site", "sites"},
    {Errc::ContractPurpose, 403, "contract_purposes", "the contract does not allow this purpose", "purposes"},
    {Errc::ContractExpired, 403, "contract_expired", "the contract has ended", "expires"},
    {Errc::ContractCount, 403, "contract_uses", "the contract's uses are used up", "uses"},
    {Errc::ContractRevoked, 403, "contract_revoked", "the contract was revoked", "revoked"},
    {Errc::ContractMissing, 403, "contract_missing", "another's artefact needs a contract", "contract"},
    {Errc::SwitchRefused, 409, "switch_refused",
     "not every gateway can take the version; nothing was switched", ""},
    {Errc::BudgetExceeded, 429, "insufficient_quota", "a budget has not so much left", "budget"},
};

const Word& word(Errc e) {
  for (const Word& one : kWords)
    if (one.errc == e) return one;
  return kWords[0];
}

class Category final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "qanat.jobs"; }
  std::string message(int value) const override { return std::string(word(static_cast<Errc>(value)).text); }
};

}  // namespace

const boost::system::error_category& category() {
  static const Category kCategory;
  return kCategory;
}
Errc errc_of(const boost::system::error_code& code) {
  return code.category() == category() ? static_cast<Errc>(code.value()) : Errc::NoRoute;
}

std::string_view code(Errc e) { return word(e).code; }
int status(Errc e) { return word(e).status; }
std::string_view clause(Errc e) { return word(e).clause; }

}  // namespace qanat::jobs
