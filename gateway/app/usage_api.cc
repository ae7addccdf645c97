// OpenAI's organization usage and costs, of the caller's tenant: sums of the ledger's entries in pieces of time.
#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "base/clock.hh"
#include "gateway/app/gateway_state.hh"
#include "gateway/meter/service_line.hh"
#include "gateway/meter/usage.hh"
#include "gateway/relay/chat.hh"

namespace qanat::app {

using boost::asio::awaitable;
using relay::Errc;
using StatePtr = std::shared_ptr<GatewayService::State>;

namespace {

enum class Of : std::uint8_t { Completions, Embeddings, Costs };

struct Width {
  std::string_view name;
  std::int64_t seconds;
  std::size_t usual, most;  // pieces of an answer
};
constexpr std::array<Width, 3> kWidths{{{"1d", 86'400, 7, 31}, {"1h", 3600, 24, 168}, {"1m", 60, 60, 1440}}};
constexpr std::size_t kMostCosts = 180;

// Every value of `name`, `name[]` or `name[0]` … in the query.
std::vector<std::string> values_of(std::string_view query, std::string_view name) {
  std::vector<std::string> out;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    const auto key = base::percent_decode(pair.substr(0, equals), true);
    if (!key || key->substr(0, key->find('[')) != name || equals == std::string_view::npos) continue;
    if (auto value = base::percent_decode(pair.substr(equals + 1), true)) out.push_back(std::move(*value));
  }
  return out;
}

struct Asked {
  meter::UsageQuestion question;
  bool by_line_item = false;
  std::int64_t width_s = 0, end_s = 0;
  std::size_t limit = 0;
};

// What is asked for; or the parameter that is wrong, and what was expected.
struct Wrong {
  std::string param, expected;
};

std::optional<std::int64_t> seconds_of(const std::optional<std::string>& text) {
  std::int64_t s = 0;
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), s);
  if (error != std::errc{} || end != text->data() + text->size() || s < 0 || s > 253'402'300'799) return -1;
  return s;
}

boost::system::result<Asked, Wrong> read(const base::Request& in, Of of, std::int64_t now_s) {
  Asked asked;
  meter::UsageQuestion& q = asked.question;
  const auto start = seconds_of(in.parameter("start_time"));
  if (!start || *start < 0) return Wrong{"start_time", "is required: seconds since 1970"};
  const auto end = seconds_of(in.parameter("end_time"));
  if (end && *end <= *start) return Wrong{"end_time", "is seconds since 1970, behind start_time"};
  const std::string name = in.parameter("bucket_width").value_or("1d");
  const auto width =
      std::find_if(kWidths.begin(), kWidths.end(), [&](const Width& w) { return w.name == name; });
  if (width == kWidths.end() || (of == Of::Costs && name != "1d"))
    return Wrong{"bucket_width", of == Of::Costs ? "is 1d" : "is 1m, 1h or 1d"};
  const std::size_t most = of == Of::Costs ? kMostCosts : width->most;
  const auto limit = seconds_of(in.parameter("limit"));
  if (limit && (*limit < 1 || *limit > static_cast<std::int64_t>(most)))
    return Wrong{"limit", "is 1 to " + std::to_string(most)};
  asked.limit = limit ? static_cast<std::size_t>(*limit) : width->usual;
  asked.width_s = width->seconds;
  asked.end_s = end.value_or(now_s + 1);
  std::int64_t from_s = *start;
  if (const auto page = in.parameter("page")) {
    const auto next =
        page->starts_with("page_") ? seconds_of(page->substr(5)) : std::optional<std::int64_t>(-1);
    if (*next < from_s) return Wrong{"page", "is an earlier answer's next_page"};
    from_s = *next;
  }
  q.from_ms = from_s * 1000;
  const std::int64_t last =
      (from_s / asked.width_s + static_cast<std::int64_t>(asked.limit)) * asked.width_s;  // behind the pieces
  q.to_ms = std::min(asked.end_s, last) * 1000;
  q.width_ms = asked.width_s * 1000;
  q.projects = values_of(in.query, "project_ids");
  q.keys = values_of(in.query, "api_key_ids");
  if (of == Of::Embeddings) q.kind = meter::Call::Kind::Embeddings;
  if (of == Of::Completions) q.kind = meter::Call::Kind::Generation;
  if (of != Of::Costs) q.models = values_of(in.query, "models");
  if (q.projects.size() + q.keys.size() + q.models.size() > 100) return Wrong{"project_ids", "are too many"};
  if (const auto batch = in.parameter("batch"); batch && of == Of::Completions) {
    if (*batch != "true" && *batch != "false") return Wrong{"batch", "is true or false"};
    q.batch = *batch == "true";
  }
  for (const std::string& by : values_of(in.query, "group_by")) {
    if (by == "project_id")
      q.by_project = true;
    else if (by == "api_key_id")
      q.by_key = true;
    else if (by == "model" && of != Of::Costs)
      q.by_model = true;
    else if (by == "batch" && of == Of::Completions)
      q.by_batch = true;
    else if (by == "line_item" && of == Of::Costs)
      asked.by_line_item = q.by_model = true;
    else
      return Wrong{"group_by", "cannot be '" + by + "' here"};
  }
  return asked;
}

// Exactly, as a JSON number.
std::string money(meter::Nano nano) {
  const bool negative = nano < 0;
  const auto text = std::to_string(static_cast<std::int64_t>((negative ? -nano : nano) % 1'000'000'000));
  return (negative ? "-" : "") +
         std::to_string(static_cast<std::int64_t>((negative ? -nano : nano) / 1'000'000'000)) + "." +
         std::string(9 - text.size(), '0') + text;
}

std::string text_or_null(bool asked, const std::string& text) {
  return asked ? relay::json_string(text) : "null";
}

std::string result_of(const meter::Usage& u, const Asked& asked, Of of) {
  const meter::UsageQuestion& q = asked.question;
  const std::string whose = ",\"project_id\":" + text_or_null(q.by_project, u.project) +
                            ",\"api_key_id\":" + text_or_null(q.by_key, u.key);
  if (of == Of::Costs)
    return R"({"object":"organization.costs.result","amount":{"value":)" + money(u.amount) +
           R"(,"currency":"cny"},"line_item":)" + text_or_null(asked.by_line_item, u.model) + whose + "}";
  std::string text = of == Of::Embeddings ? R"({"object":"organization.usage.embeddings.result")"
                                          : R"({"object":"organization.usage.completions.result")";
  text += ",\"input_tokens\":" + std::to_string(u.tokens_in);
  if (of == Of::Completions)
    text += ",\"input_cached_tokens\":" + std::to_string(u.tokens_cached) +
            ",\"output_tokens\":" + std::to_string(u.tokens_out) +
            ",\"batch\":" + (q.by_batch ? u.batch ? "true" : "false" : "null");
  return text + ",\"num_model_requests\":" + std::to_string(u.calls) + whose + R"(,"user_id":null,"model":)" +
         text_or_null(q.by_model, u.model) + "}";
}

// What was paid beside calls: a line item is its kind.
void add_services(meter::Store& store, const meter::UsageQuestion& q, std::vector<meter::Usage>& all) {
  const auto among = [](const std::vector<std::string>& list, const std::string& one) {
    return list.empty() || std::find(list.begin(), list.end(), one) != list.end();
  };
  for (const meter::ServiceLine& line : meter::ServiceBook(store, {}).lines(q.tenant, {}, q.from_ms)) {
    if (line.unix_ms >= q.to_ms || !among(q.projects, line.project) || !among(q.keys, line.key)) continue;
    meter::Usage u;
    u.begins_ms = line.unix_ms / q.width_ms * q.width_ms;
    if (q.by_project) u.project = line.project;
    if (q.by_key) u.key = line.key;
    if (q.by_model) u.model = line.kind;
    u.amount = line.amount_nano;
    const auto same = std::find_if(all.begin(), all.end(), [&](const meter::Usage& other) {
      return std::tie(u.begins_ms, u.project, u.key, u.model) ==
             std::tie(other.begins_ms, other.project, other.key, other.model);
    });
    if (same != all.end())
      same->amount += u.amount;
    else
      all.push_back(std::move(u));
  }
}

std::string page_of(const Asked& asked, const std::vector<meter::Usage>& used, Of of) {
  std::string data;
  std::int64_t at = asked.question.from_ms / 1000 / asked.width_s * asked.width_s;
  std::size_t pieces = 0;
  for (; at < asked.end_s && pieces < asked.limit; at += asked.width_s, ++pieces) {
    std::string results;
    for (const meter::Usage& u : used)
      if (u.begins_ms == at * 1000) results += (results.empty() ? "" : ",") + result_of(u, asked, of);
    data += (data.empty() ? "" : ",") + std::string(R"({"object":"bucket","start_time":)") +
            std::to_string(at) + ",\"end_time\":" + std::to_string(at + asked.width_s) + ",\"results\":[" +
            results + "]}";
  }
  const bool more = at < asked.end_s;
  return R"({"object":"page","data":[)" + data + "],\"has_more\":" + (more ? "true" : "false") +
         ",\"next_page\":" + (more ? "\"page_" + std::to_string(at) + "\"" : "null") + "}";
}

awaitable<void> answer(StatePtr s, Of of, base::Request& in, base::Responder& out) {
  const admit::KeyInfo* key = co_await relay::authenticate(*s->relay, in, out);
  if (!key) co_return;
  auto asked = read(in, of, static_cast<std::int64_t>(base::unix_now()));
  if (!asked.has_value()) {
    const Wrong wrong = asked.error();
    co_return co_await relay::refuse(*s->relay, out, Errc::OutOfRange,
                                     "'" + wrong.param + "' " + wrong.expected, wrong.param);
  }
  asked->question.tenant = key->tenant;
  const bool services = of == Of::Costs;
  const auto work = [question = asked->question, services](meter::Ledger& ledger) {
    auto all = meter::usage_of(ledger.store(), question);
    if (services) add_services(ledger.store(), question, all);
    return all;
  };
  const auto used = co_await s->ledger->query(work);
  co_await out.json(200, page_of(*asked, used, of));
}

}  // namespace

void GatewayService::add_usage_routes(base::HttpServer& server) {
  const auto route = [&](std::string_view path, Of of) {
    server.route("GET", path, [s = state_, of](base::Request& in, base::Responder& out) {
      return answer(s, of, in, out);
    });
  };
  route("/v1/organization/usage/completions", Of::Completions);
  route("/v1/organization/usage/embeddings", Of::Embeddings);
  route("/v1/organization/costs", Of::Costs);
}

}  // namespace qanat::app
