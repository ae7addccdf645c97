#include "gateway/meter/postgres.hh"

#include <libpq-fe.h>

#include <charconv>
#include <utility>
#include <vector>

namespace qanat::meter {
namespace {

// "qanat" on a telephone: whoever else uses this database for locks of its own is unlikely to meet it.
constexpr const char* kOneWriter = "BEGIN; SELECT pg_advisory_xact_lock(72628)";

// `?` → $1, $2, …; `?2` → $2.
std::string numbered(std::string_view sql) {
  std::string text;
  int next = 1;
  for (std::size_t i = 0; i < sql.size(); ++i) {
    if (sql[i] != '?') {
      text += sql[i];
      continue;
    }
    text += '$';
    if (i + 1 >= sql.size() || sql[i + 1] < '0' || sql[i + 1] > '9') text += std::to_string(next++);
  }
  return text;
}

// The server refuses what is no UTF-8, and a refused row would hold up all that come after it.
std::string storable(std::string_view text) {
  std::string copy(text);
  for (std::size_t i = 0; i < copy.size();) {
    const auto byte = [&](std::size_t at) {
      return at < copy.size() ? static_cast<unsigned char>(copy[at]) : 0u;
    };
    const unsigned lead = byte(i);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xc2 && lead < 0xe0 ? 2
                               : lead >= 0xe0 && lead < 0xf0 ? 3
                               : lead >= 0xf0 && lead < 0xf5 ? 4
                                                             : 0;
    bool good = length != 0 && lead != 0;
    for (std::size_t k = 1; k < length; ++k) good = good && byte(i + k) >= 0x80 && byte(i + k) < 0xc0;
    // Overlong forms, surrogates, beyond the last character.
    const unsigned second = byte(i + 1);
    good = good && !(lead == 0xe0 && second < 0xa0) && !(lead == 0xed && second >= 0xa0) &&
           !(lead == 0xf0 && second < 0x90) && !(lead == 0xf4 && second >= 0x90);
    if (good) {
      i += length;
    } else {
      copy[i++] = '?';
    }
  }
  return copy;
}

}  // namespace

class PostgresStore::One final : public Prepared {
 public:
  One(PostgresStore& store, std::string_view sql) : store_(store), sql_(numbered(sql)) {}
  ~One() override {
    result_.reset();
    if (generation_ == 0 || generation_ != store_.generation_ ||
        PQstatus(store_.connection_) != CONNECTION_OK)
      return;
    PQclear(PQexec(store_.connection_, ("DEALLOCATE " + name_).c_str()));
  }

  void bind(std::int64_t value) override { values_.push_back(std::to_string(value)); }
  void bind(std::string_view text) override { values_.push_back(storable(text)); }

  bool step() override {
    if (!result_) run();
    if (++row_ < PQntuples(result_.get())) return true;
    result_.reset();
    return false;
  }
  std::int64_t integer(int column) const override {
    const std::string_view text = PQgetvalue(result_.get(), row_, column);
    if (text == "t") return 1;
    std::int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
  std::string text(int column) const override {
    return {PQgetvalue(result_.get(), row_, column),
            static_cast<std::size_t>(PQgetlength(result_.get(), row_, column))};
  }

 private:
  void run() {
    const std::vector<std::string> values = std::exchange(values_, {});
    std::vector<const char*> pointers;
    for (const std::string& value : values) pointers.push_back(value.c_str());
    const int count = static_cast<int>(values.size());
    store_.connect();
    pg_conn* const c = store_.connection_;
    // What runs once is not worth a name; what runs again is parsed no more.
    if (++runs_ == 1) {
      result_ = store_.checked(
          PQexecParams(c, sql_.c_str(), count, nullptr, pointers.data(), nullptr, nullptr, 0), sql_);
    } else {
      if (generation_ != store_.generation_) {
        name_ = "q" + std::to_string(++store_.names_);
        store_.checked(PQprepare(c, name_.c_str(), sql_.c_str(), count, nullptr), sql_);
        generation_ = store_.generation_;
      }
      result_ =
          store_.checked(PQexecPrepared(c, name_.c_str(), count, pointers.data(), nullptr, nullptr, 0), sql_);
    }
    row_ = -1;
  }

  PostgresStore& store_;
  std::string sql_, name_;
  std::vector<std::string> values_;
  std::uint64_t generation_ = 0;
  std::uint64_t runs_ = 0;
  Result result_{nullptr, PQclear};
  int row_ = -1;
};

std::string PostgresStore::stored(std::string_view text) const { return storable(text); }

PostgresStore::PostgresStore(std::string conninfo) : conninfo_(std::move(conninfo)) { connect(); }

PostgresStore::~PostgresStore() { PQfinish(connection_); }

void PostgresStore::connect() {
  if (connection_ && PQstatus(connection_) == CONNECTION_OK) return;
  if (in_transaction_) throw StoreError("the connection to PostgreSQL was lost during a transaction");
  PQfinish(connection_);
  // Given first, so that the operator's word counts; a server that is gone must not hold the thread for minutes.
  const std::string with =
      "connect_timeout=3 tcp_user_timeout=5000 application_name=qanat-gateway " + conninfo_;
  connection_ = PQconnectdb(with.c_str());
  if (!connection_ || PQstatus(connection_) != CONNECTION_OK) {
    std::string why = connection_ ? PQerrorMessage(connection_) : "out of memory";
    while (!why.empty() && why.back() == '\n') why.pop_back();
    throw StoreError("connect to PostgreSQL: " + why);
  }
  PQsetNoticeProcessor(
      connection_, [](void*, const char*) {}, nullptr);  // "table exists already"
  ++generation_;
  checked(PQexec(connection_, "SET statement_timeout = '30s'"), "SET");
}

PostgresStore::Result PostgresStore::checked(pg_result* raw, std::string_view statement) {
  Result result(raw, PQclear);
  const ExecStatusType status = PQresultStatus(raw);
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    std::string why = PQerrorMessage(connection_);
    while (!why.empty() && why.back() == '\n') why.pop_back();
    throw StoreError(std::string(statement.substr(0, 120)) + ": " + why + " (PostgreSQL)");
  }
  const std::string_view changed = PQcmdTuples(raw);
  changes_ = 0;
  std::from_chars(changed.data(), changed.data() + changed.size(), changes_);
  return result;
}

std::unique_ptr<Store::Prepared> PostgresStore::prepare(std::string_view sql) {
  return std::make_unique<One>(*this, sql);
}

void PostgresStore::execute(const char* sql) {
  connect();
  checked(PQexec(connection_, sql), sql);
}

void PostgresStore::begin() {
  execute(kOneWriter);
  in_transaction_ = true;
}

// If the connection dies here, nobody knows whether it was done: what is written again must be written once.
void PostgresStore::commit() {
  execute("COMMIT");
  in_transaction_ = false;
}

void PostgresStore::rollback() noexcept {
  in_transaction_ = false;
  PQclear(PQexec(connection_, "ROLLBACK"));
}

}  // namespace qanat::meter
