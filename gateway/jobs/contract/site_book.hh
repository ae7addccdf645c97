// SiteBook: which contracts a site has seen used, and which were revoked, in SQLite: what it enforces of its own, whatever
// a gateway says, across kill -9. Blocking; one thread at a time.
#pragma once

#include <string>

#include "gateway/jobs/contract/contract.hh"
#include "gateway/meter/sqlite.hh"

namespace qanat::jobs {

class SiteBook {
 public:
  // Throws meter::SqliteError naming the file.
  explicit SiteBook(const std::string& path);

  // Judges the use and, if it is allowed, counts it, durably. The same `use_id` again is the same use.
  Result<void> use(const Contract& contract, Use use, const std::string& use_id);
  void revoke(const std::string& contract);

 private:
  meter::Database database_;
};

}  // namespace qanat::jobs
