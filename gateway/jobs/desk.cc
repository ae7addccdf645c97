#include "gateway/jobs/desk.hh"

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/hex.hh"
#include "base/log.hh"
#include "gateway/jobs/rest.hh"

namespace qanat::jobs {

using boost::asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr base::Duration kBillAgain = std::chrono::seconds{1};
constexpr base::Duration kPoolAgain = std::chrono::milliseconds{100};
constexpr int kPoolLooks = 100;

}  // namespace

std::int64_t unix_ms() { return static_cast<std::int64_t>(base::unix_now_ms()); }

std::string fresh_id(const std::string& prefix) { return prefix + base::to_hex(base::random_bytes(12)); }

std::string to_file_json(const File& f) {
  nlohmann::ordered_json j;
  j["id"] = f.id;
  j["object"] = "file";
  j["bytes"] = f.bytes;
  j["created_at"] = f.created_unix_ms / 1000;
  j["filename"] = f.name;
  j["purpose"] = f.purpose;
  j["status"] = f.status;
  j["artefact"] = to_string(f.artefact);
  return j.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

namespace {

std::optional<File> file_of(const Document& d) {
  const json j = json::parse(d.body, nullptr, false);
  if (!j.is_object()) return std::nullopt;
  const auto artefact = parse_digest(j.value("artefact", ""));
  if (!artefact) return std::nullopt;
  File f;
  f.id = d.id;
  f.tenant = d.tenant;
  f.name = j.value("filename", "");
  f.purpose = j.value("purpose", "");
  f.status = j.value("status", "");
  f.artefact = *artefact;
  f.bytes = j.value("bytes", std::uint64_t{0});
  f.created_unix_ms = d.created_unix_ms;
  return f;
}

}  // namespace

Desk::Desk(boost::asio::io_context& io_context, meter::LedgerThread& l, const SiteConfig& site,
           const std::vector<std::string>& leaves)
    : io(io_context),
      ledger(l),
      store(io_context, site),
      mover(io_context, store, site.name),
      gateway(site.name) {
  for (const std::string& leaf : leaves) tree_.append(leaf);
}

std::optional<PoolSite> Desk::find_pool(const std::string& name) const {
  std::optional<PoolSite> found;
  for (PoolSite& pool : pools()) {
    if (pool.id == name) return pool;
    if (pool.site == name && (!found || (pool.alive && !found->alive))) found = std::move(pool);
  }
  return found;
}

awaitable<std::optional<PoolSite>> Desk::await_pool(std::string name) const {
  auto pool = find_pool(name);
  for (int i = 0; i < kPoolLooks && !pool && !stopping; ++i) {
    co_await rest(io, kPoolAgain);
    pool = find_pool(name);
  }
  co_return pool;
}

awaitable<void> Desk::save(std::string kind, Document document) {
  const auto work = [this, kind, document](meter::Ledger& l) {
    JobBook(l.store(), gateway).put(kind, document);
    return true;
  };
  co_await ledger.query(work);
}

awaitable<std::optional<Document>> Desk::load(std::string kind, std::string id) {
  const auto work = [this, kind, id](meter::Ledger& l) { return JobBook(l.store(), gateway).get(kind, id); };
  co_return co_await ledger.query(work);
}

awaitable<std::vector<Document>> Desk::list(std::string kind, std::string tenant) {
  const auto work = [this, kind, tenant](meter::Ledger& l) {
    return JobBook(l.store(), gateway).list(kind, tenant);
  };
  co_return co_await ledger.query(work);
}

awaitable<bool> Desk::erase(std::string kind, std::string id) {
  const auto work = [this, kind, id](meter::Ledger& l) {
    return JobBook(l.store(), gateway).erase(kind, id);
  };
  co_return co_await ledger.query(work);
}

awaitable<void> Desk::bill(Caller payer, meter::ServiceLine line) {
  line.tenant = payer.tenant;
  line.project = payer.project;
  line.key = payer.key;
  static base::LogGate gate(std::chrono::seconds{10});
  const auto work = [this, line](meter::Ledger& l) {
    return meter::ServiceBook(l.store(), gateway).book(line);
  };
  while (true) {
    std::string why;
    try {
      const bool fresh = co_await ledger.query(work);
      co_return settle(payer, line.amount_nano, fresh ? line.amount_nano : 0);
    } catch (const meter::StoreError& error) {
      why = error.what();
    }
    if (stopping)
      throw meter::StoreError(why);  // the job is not over then, and is billed when it is taken up again
    base::log_gated(gate, base::monotonic_now(), base::LogLevel::Error, "{} is not in the books yet: {}",
                    line.id, why);
    co_await rest(io, kBillAgain);
  }
}

awaitable<void> refuse(base::Responder& out, Lack lack) {
  const auto text = [](meter::Nano nano) { return std::to_string(static_cast<std::int64_t>(nano)); };
  json body;
  body["error"] = {{"code", code(Errc::BudgetExceeded)},
                   {"message", "the budget of " + lack.account + " has " + text(lack.left) + " of " +
                                   text(lack.limit) + " nano left, and this may cost " + text(lack.needed)},
                   {"type", "insufficient_quota"},
                   {"param", nullptr},
                   {"hint", "clause: budget of " + lack.account}};
  body["account"] = lack.account;
  body["left_nano"] = static_cast<std::int64_t>(lack.left);
  body["needed_nano"] = static_cast<std::int64_t>(lack.needed);
  co_await out.json(status(Errc::BudgetExceeded), body.dump());
}

awaitable<void> Desk::save_file(File file) {
  Document d;
  d.id = file.id;
  d.tenant = file.tenant;
  d.created_unix_ms = file.created_unix_ms;
  d.body = to_file_json(file);
  co_await save("file", std::move(d));
}

awaitable<std::optional<File>> Desk::find_file(std::string name, std::string tenant) {
  if (auto document = co_await load("file", name)) co_return file_of(*document);
  const auto digest = parse_digest(name);
  const std::string of = digest ? std::string() : tenant;
  for (const Document& d : co_await list("file", of))
    if (auto file = file_of(d); file && (digest ? file->artefact == *digest : file->name == name))
      co_return file;
  co_return std::nullopt;
}

namespace {

struct Judged {
  Result<void> verdict;
  Desk::Allowed allowed;
};

// The first contract that allows it, else the last one's refusal.
Judged look(JobBook book, const File& file, const Caller& caller, const PoolSite& at,
            const std::string& purpose) {
  if (file.tenant == caller.tenant) return {};
  Judged judged{Errc::ContractMissing, {}};
  for (const Document& d : book.list("contract")) {
    const json j = json::parse(d.body, nullptr, false);
    const auto contract =
        j.is_object() ? parse_contract(j.value("text", "")) : Result<Contract>(Errc::BadContract);
    if (!contract || contract->artefact != file.artefact || contract->owner != file.tenant) continue;
    Use use;
    use.user = caller.tenant;
    use.site = at.site;
    use.pool = at.id;
    use.purpose = purpose;
    use.unix_ms = unix_ms();
    use.revoked = j.value("revoked", false);
    use.uses_before = book.uses(d.id);
    judged.verdict = judge(*contract, use);
    judged.allowed.contract = d.id;
    judged.allowed.header = j.value("sealed", "");
    if (judged.verdict) return judged;
  }
  return judged;
}

}  // namespace

awaitable<Result<void>> Desk::could_use(File file, Caller caller, PoolSite at, std::string purpose) {
  const auto work = [this, file, caller, at, purpose](meter::Ledger& l) {
    return look(JobBook(l.store(), gateway), file, caller, at, purpose).verdict;
  };
  co_return co_await ledger.query(work);
}

// Judged and counted in one go on the ledger's thread: of two uses at once only one can be the last. Answers come back in
// the order of their leaves.
awaitable<Result<Desk::Allowed>> Desk::use(File file, Caller caller, PoolSite at, std::string purpose,
                                           std::string use) {
  const auto work = [this, file, caller, at, purpose, use](meter::Ledger& l) {
    JobBook book(l.store(), gateway);
    Judged judged = look(book, file, caller, at, purpose);
    UseRow row;
    row.contract = judged.allowed.contract;
    row.artefact = to_string(file.artefact);
    row.user = caller.tenant;
    row.site = at.id.empty() ? gateway : at.id;
    row.purpose = purpose;
    row.use = use;
    row.unix_ms = unix_ms();
    row.allowed = judged.verdict.has_value();
    if (!row.allowed) row.clause = clause(errc_of(judged.verdict.error()));
    row.number = book.next_leaf();
    book.add_use(row);
    return std::pair(std::move(judged), leaf_of(row));
  };
  const auto [judged, leaf] = co_await ledger.query(work);
  tree_.append(leaf);
  if (!judged.verdict) co_return judged.verdict.error();
  co_return judged.allowed;
}

}  // namespace qanat::jobs
