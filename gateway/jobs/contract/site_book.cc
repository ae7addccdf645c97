#include "gateway/jobs/contract/site_book.hh"

namespace qanat::jobs {

SiteBook::SiteBook(const std::string& path) : database_(path) {
  database_.execute(
      "CREATE TABLE IF NOT EXISTS uses(contract TEXT NOT NULL, use TEXT NOT NULL, PRIMARY KEY(contract, "
      "use)) "
      "WITHOUT ROWID; CREATE TABLE IF NOT EXISTS revoked(contract TEXT PRIMARY KEY) WITHOUT ROWID");
}

Result<void> SiteBook::use(const Contract& contract, Use use, const std::string& use_id) {
  meter::Transaction transaction(database_);
  const auto count = [&](const char* sql, bool with_use) {
    meter::Statement s(database_.handle(), sql);
    s.bind(contract.id);
    if (with_use) s.bind(use_id);
    return s.step() ? static_cast<std::uint64_t>(s.integer(0)) : 0;
  };
  use.revoked = count("SELECT COUNT(*) FROM revoked WHERE contract = ?", false) != 0;
  const bool again = count("SELECT COUNT(*) FROM uses WHERE contract = ? AND use = ?", true) != 0;
  use.uses_before = again ? 0 : count("SELECT COUNT(*) FROM uses WHERE contract = ?", false);
  const auto verdict = judge(contract, use);
  if (!verdict || again) return verdict;
  meter::Statement(database_.handle(), "INSERT INTO uses VALUES(?, ?)").bind(contract.id).bind(use_id).run();
  transaction.commit();
  return verdict;
}

void SiteBook::revoke(const std::string& contract) {
  meter::Transaction transaction(database_);
  meter::Statement(database_.handle(), "INSERT INTO revoked VALUES(?) ON CONFLICT DO NOTHING")
      .bind(contract)
      .run();
  transaction.commit();
}

}  // namespace qanat::jobs
