#include "tools/lab/chaos/auditor.hh"

#include <fmt/format.h>
#include <sqlite3.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "gateway/meter/pool_statement.hh"

namespace qanat::chaos {
namespace {

class Ledger {
 public:
  explicit Ledger(const std::string& file) {
    sqlite3* handle = nullptr;
    const int rc = sqlite3_open_v2(file.c_str(), &handle, SQLITE_OPEN_READONLY, nullptr);
    db_.reset(handle);
    if (rc != SQLITE_OK)
      throw std::runtime_error("cannot read the ledger " + file + ": " + sqlite3_errstr(rc));
    sqlite3_busy_timeout(handle, 5000);
  }
  template <class Row>
  void rows(const char* sql, const Row& row) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(db_.get(), sql, -1, &raw, nullptr) != SQLITE_OK)
      throw std::runtime_error(std::string("ledger: ") + sqlite3_errmsg(db_.get()));
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(raw, sqlite3_finalize);
    int rc;
    while ((rc = sqlite3_step(raw)) == SQLITE_ROW) row(raw);
    if (rc != SQLITE_DONE) throw std::runtime_error(std::string("ledger: ") + sqlite3_errmsg(db_.get()));
  }

 private:
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> db_{nullptr, sqlite3_close};
};

std::string text(sqlite3_stmt* row, int column) {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(row, column));
  return bytes ? bytes : "";
}

struct Billed {
  std::int64_t tokens = 0, prompt = 0, amount = 0, input_nano = 0, output_nano = 0;
  int charges = 0;
  std::string pool;
};

}  // namespace

Audit audit(const std::string& ledger_file, const std::vector<CallSeen>& seen, const AuditReport& report) {
  Ledger ledger(ledger_file);
  Audit out;
  std::map<std::string, Billed> billed;
  ledger.rows(
      "SELECT e.call, e.tokens_out, e.tokens_in, -e.amount_nano, c.input_nano, c.output_nano, c.pool FROM "
      "entries e "
      "JOIN calls c ON c.id = e.call WHERE e.kind = 'charge' AND e.account GLOB 'tenant:*'",
      [&](sqlite3_stmt* row) {
        Billed& b = billed[text(row, 0)];
        ++b.charges;
        b.tokens += sqlite3_column_int64(row, 1);
        b.prompt += sqlite3_column_int64(row, 2);
        b.amount += sqlite3_column_int64(row, 3);
        b.input_nano = sqlite3_column_int64(row, 4);
        b.output_nano = sqlite3_column_int64(row, 5);
        b.pool = text(row, 6);
        out.tokens_billed += static_cast<std::uint64_t>(sqlite3_column_int64(row, 1));
      });
  const auto wrong = [&](const std::string& call, const std::string& what) {
    report("billed_once", call + ": " + what);
  };
  std::set<std::string> pools;
  for (const auto& [id, b] : billed) pools.insert(b.pool);
  std::map<std::string, const CallSeen*> by_id;
  for (const auto& call : seen) {
    by_id[call.id] = &call;
    ++out.calls;
    out.tokens_received += call.tokens;
    const auto it = billed.find(call.id);
    const std::int64_t charged = it == billed.end() ? 0 : it->second.tokens,
                       got = static_cast<std::int64_t>(call.tokens);
    if (call.whole ? charged != got : (charged > got || charged < got - 1))
      wrong(call.id, fmt::format("{} tokens arrived ({}), {} are billed", got,
                                 call.whole ? "all" : "then it broke off", charged));
  }
  for (const auto& [id, b] : billed) {
    if (b.charges != 1) wrong(id, fmt::format("charged {} times", b.charges));
    if (!by_id.count(id) && b.tokens > 0)
      wrong(id, fmt::format("no client had it, {} tokens are billed", b.tokens));
    if (b.amount != b.prompt * b.input_nano + b.tokens * b.output_nano)
      wrong(id, fmt::format("{} nano are charged for {} and {} tokens", b.amount, b.prompt, b.tokens));
  }
  // What pools signed: at least what tenants pay for, and each record kept once.
  ledger.rows("SELECT call, pool, MAX(completion_tokens), state FROM pool_usage GROUP BY call, pool",
              [&](sqlite3_stmt* row) {
                ++out.pool_records;
                const auto it = billed.find(text(row, 0));
                if (it == billed.end() || it->second.pool != text(row, 1)) return;
                if (sqlite3_column_int64(row, 2) < it->second.tokens)
                  report("books_balance",
                         fmt::format("{}: pool {} signed {} tokens, {} are billed", text(row, 0),
                                     text(row, 1), sqlite3_column_int64(row, 2), it->second.tokens));
              });
  ledger.rows(
      "SELECT call, kind, SUM(amount_nano), COUNT(*) FROM entries GROUP BY call, kind HAVING "
      "SUM(amount_nano) <> 0 OR "
      "COUNT(*) <> 2",
      [&](sqlite3_stmt* row) {
        report("books_balance",
               fmt::format("{}: the entries of '{}' sum to {} ({} of them)", text(row, 0), text(row, 1),
                           sqlite3_column_int64(row, 2), sqlite3_column_int64(row, 3)));
      });
  // Each pool's own statement against the tenants' bills, line by line, to the nano.
  const auto store = meter::open_store(ledger_file);
  meter::ServiceBook::create(*store);
  for (const std::string& pool : pools) {
    const meter::PoolStatement statement = meter::statement_of(*store, pool, 0);
    if (statement.disagreeing != 0 || statement.charged != statement.billed)
      report("books_balance",
             fmt::format("pool {}: its statement says {} nano, tenants were billed {}; {} lines differ", pool,
                         meter::to_string(statement.charged), meter::to_string(statement.billed),
                         statement.disagreeing));
  }
  return out;
}

ServiceAudit audit_services(const std::string& ledger_file, const std::vector<std::string>& transfers,
                            const std::vector<std::string>& tunes,
                            const std::vector<std::pair<std::string, std::string>>& leases,
                            const AuditReport& report) {
  ServiceAudit out;
  Ledger ledger(ledger_file);
  struct Order {
    std::string state;
    std::int64_t amount = 0, quantity = 0;
  };
  std::map<std::string, Order> orders;
  ledger.rows("SELECT id, kind, body FROM job_documents WHERE kind IN ('transfer', 'tune')",
              [&](sqlite3_stmt* row) {
                const bool tune = text(row, 1) == "tune";
                const auto kept = nlohmann::json::parse(text(row, 2), nullptr, false);
                const auto body = tune && kept.is_object() ? kept.value("doc", nlohmann::json()) : kept;
                if (!body.is_object()) return;
                Order& o = orders[text(row, 0)];
                o.state = body.value(tune ? "status" : "state", "");
                o.amount = body.value("price_nano", std::int64_t{0});
                const char* const quantity = tune ? "trained_tokens" : "bytes_moved";
                if (body.contains(quantity) && body[quantity].is_number())
                  o.quantity = body[quantity].get<std::int64_t>();
              });
  struct Bill {
    std::int64_t amount = 0, quantity = 0;
    int lines = 0;
  };
  std::map<std::string, Bill> bills;
  meter::Nano services = 0;
  std::map<std::string, meter::Nano> owed;
  ledger.rows("SELECT id, kind, subject, supplier, quantity, amount_nano FROM service_lines",
              [&](sqlite3_stmt* row) {
                ++out.lines;
                const std::string kind = text(row, 1);
                const std::int64_t amount = sqlite3_column_int64(row, 5);
                services += amount;
                if (kind == "cards") owed[text(row, 3)] += amount;
                Bill& bill = bills[kind == "finetune" ? text(row, 2) : text(row, 0)];
                ++bill.lines;
                bill.amount += amount;
                bill.quantity += sqlite3_column_int64(row, 4);
              });
  const auto judge = [&](const std::string& id, const char* end, std::uint64_t& done, bool one_line) {
    const auto order = orders.find(id);
    if (order == orders.end()) return report("billed_once", id + ": it was promised, and nobody knows of it");
    if (order->second.state != end) return;
    ++done;
    const Bill bill = bills.count(id) ? bills[id] : Bill{};
    if (order->second.quantity > 0 && bill.quantity != order->second.quantity)
      report("billed_once", fmt::format("{}: {} were moved or trained, {} are billed in {} lines", id,
                                        order->second.quantity, bill.quantity, bill.lines));
    if (one_line && order->second.quantity > 0 && (bill.lines != 1 || bill.amount != order->second.amount))
      report("billed_once", fmt::format("{}: it costs {} nano, {} are billed in {} lines", id,
                                        order->second.amount, bill.amount, bill.lines));
  };
  out.transfers = transfers.size();
  out.tunes = tunes.size();
  for (const std::string& id : transfers) judge(id, "done", out.transfers_done, true);
  for (const std::string& id : tunes) judge(id, "succeeded", out.tunes_done, false);
  const auto store = meter::open_store(ledger_file);
  for (const std::string& line : meter::ServiceBook(*store, {}).broken())
    report("books_balance", line + ": its two sides differ");
  meter::Nano cards = 0, theirs_in_all = 0;
  for (const auto& [pool, file] : leases) {
    meter::Nano theirs = 0;
    Ledger book(file);
    book.rows("SELECT charged_nano FROM lease",
              [&](sqlite3_stmt* row) { theirs += sqlite3_column_int64(row, 0); });
    const meter::Nano ours = owed["pool:" + pool];
    cards += ours;
    theirs_in_all += theirs;
    if (ours != theirs)
      report("books_balance",
             fmt::format("pool {}: its own books say {} nano of card time, the gateway owes {}", pool,
                         meter::to_string(theirs), meter::to_string(ours)));
  }
  out.card_nano = meter::to_string(cards);
  out.pools_card_nano = meter::to_string(theirs_in_all);
  out.services_nano = meter::to_string(services);
  return out;
}

}  // namespace qanat::chaos
