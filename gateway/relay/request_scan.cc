#include "gateway/relay/request_scan.hh"

#include <simdjson.h>

#include <algorithm>
#include <array>

namespace qanat::relay {
namespace {

namespace od = simdjson::ondemand;
constexpr std::uint64_t kMaxPrompts = 2048;  // in one request, as OpenAI bounds them

// A token view may carry white space that follows it.
std::string_view trimmed(std::string_view text) {
  while (!text.empty() &&
         (text.back() == ' ' || text.back() == '\n' || text.back() == '\r' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

class Scanner {
 public:
  Scanner(std::string_view body, Endpoint endpoint)
      : body_(body),
        prompt_key_(endpoint == Endpoint::Chat          ? "messages"
                    : endpoint == Endpoint::Completions ? "prompt"
                                                        : "input") {
    scan_.endpoint = endpoint;
  }

  // False once something is wrong; problem() says what.
  bool on_member(std::string_view key, od::value value) {
    if (key == "model") return once(Model, key) && model(value);
    if (key == prompt_key_) return scan_.endpoint == Endpoint::Chat ? prompt(value) : prompts(key, value);
    if (scan_.endpoint == Endpoint::Embeddings) return true;  // it neither streams nor generates
    if (key == "stream") return once(Stream, key) && flag(value, "stream", scan_.stream);
    if (key == "stream_options") return once(StreamOptions, key) && stream_options(value);
    if (key == "max_tokens") return once(MaxTokens, key) && count(value, key, 1, max_tokens_);
    if (key == "max_completion_tokens")
      return once(MaxCompletionTokens, key) && count(value, key, 1, max_completion_tokens_);
    if (key == "n") return once(N, key) && choices(value, key);
    if (key == "best_of" && scan_.endpoint == Endpoint::Completions)
      return once(BestOf, key) && choices(value, key);
    return true;
  }

  bool finish() {
    if (!seen_[Model]) return fail(Errc::MissingField, "model", "is required");
    scan_.max_tokens = max_completion_tokens_ ? max_completion_tokens_ : max_tokens_;
    if (scan_.endpoint == Endpoint::Embeddings) scan_.max_tokens = 0;
    scan_.n *= prompts_;
    return true;
  }
  RequestScan& scan() { return scan_; }
  BadRequest& problem() { return problem_; }

 private:
  enum Member { Model, Stream, StreamOptions, MaxTokens, MaxCompletionTokens, N, BestOf, Prompt, kMembers };

  bool fail(Errc code, std::string_view param, std::string_view what) {
    problem_ = {code, std::string(param), "'" + std::string(param) + "' " + std::string(what)};
    return false;
  }
  bool once(Member member, std::string_view key) {
    if (seen_[member]) return fail(Errc::DuplicateField, key, "appears twice");
    return seen_[member] = true;
  }
  Range range_of(std::string_view text) const {
    text = trimmed(text);
    return {static_cast<std::size_t>(text.data() - body_.data()), text.size()};
  }

  bool model(od::value value) {
    scan_.model_range = range_of(value.raw_json_token());
    std::string_view text;
    if (value.get_string().get(text)) return fail(Errc::WrongType, "model", "must be a string");
    if (text.empty()) return fail(Errc::OutOfRange, "model", "must not be empty");
    scan_.model = text;
    return true;
  }

  bool prompt(od::value value) {
    std::string_view raw;
    if (simdjson::to_json_string(value).get(raw)) return false;
    scan_.prompt_range = range_of(raw);
    return true;
  }

  // A list of texts, or of lists of tokens, is so many prompts; anything else is one.
  bool prompts(std::string_view key, od::value value) {
    if (!once(Prompt, key)) return false;
    od::json_type type;
    if (value.type().get(type)) return false;
    if (type != od::json_type::array) return prompt(value);
    od::array list;
    std::string_view raw;
    if (value.get_array().get(list) || list.raw_json().get(raw) || list.reset().error()) return false;
    scan_.prompt_range = range_of(raw);
    std::uint64_t found = 0;
    for (auto element : list) {
      if (element.type().get(type)) return false;
      if (type == od::json_type::number) return true;
      ++found;
    }
    prompts_ = found == 0 ? 1 : found;
    return prompts_ <= kMaxPrompts ||
           fail(Errc::OutOfRange, key, "must have at most " + std::to_string(kMaxPrompts) + " texts");
  }

  bool choices(od::value value, std::string_view key) {
    std::optional<std::uint64_t> n;
    if (!count(value, key, 1, n)) return false;
    if (n.value_or(1) > 128) return fail(Errc::OutOfRange, key, "must be at most 128");
    scan_.n = std::max(scan_.n, n.value_or(1));
    return true;
  }

  bool flag(od::value value, std::string_view param, bool& out) {
    bool null = false;
    if (!value.is_null().get(null) && null) return true;
    if (value.get_bool().get(out)) return fail(Errc::WrongType, param, "must be true or false");
    return true;
  }

  bool count(od::value value, std::string_view param, std::uint64_t least,
             std::optional<std::uint64_t>& out) {
    bool null = false;
    if (!value.is_null().get(null) && null) return true;
    std::uint64_t number = 0;
    if (value.get_uint64().get(number)) return fail(Errc::WrongType, param, "must be a positive integer");
    if (number < least || number > 0x7fffffff)
      return fail(Errc::OutOfRange, param, "must be between 1 and 2^31-1");
    out = number;
    return true;
  }

  bool stream_options(od::value value) {
    bool null = false;
    if (!value.is_null().get(null) && null) {
      scan_.stream_options_range = range_of(value.raw_json_token());
      return true;
    }
    od::object object;
    if (value.get_object().get(object)) return fail(Errc::WrongType, "stream_options", "must be an object");
    std::string_view whole;
    if (object.raw_json().get(whole) || object.reset().error()) return false;
    scan_.stream_options_range = range_of(whole);
    bool usage_seen = false, continuous_seen = false;
    for (auto member : object) {
      od::field field;
      std::string_view key;
      if (std::move(member).get(field)) return false;
      const char* key_begin = field.key().raw();
      if (field.unescaped_key().get(key)) return false;
      if (key == "include_usage" || key == "continuous_usage_stats") {
        bool& seen = key == "include_usage" ? usage_seen : continuous_seen;
        if (seen) return fail(Errc::DuplicateField, "stream_options." + std::string(key), "appears twice");
        seen = true;
        bool& out = key == "include_usage" ? scan_.include_usage : scan_.continuous_usage;
        if (!flag(field.value(),
                  key == "include_usage" ? "stream_options.include_usage"
                                         : "stream_options.continuous_usage_stats",
                  out))
          return false;
        continue;
      }
      std::string_view raw;
      if (simdjson::to_json_string(field.value()).get(raw)) return false;
      // From the key's own quote to the value's end, as it was written.
      const char* begin = key_begin - 1;
      scan_.other_stream_options += ",";
      scan_.other_stream_options.append(begin, trimmed(raw).data() + trimmed(raw).size());
    }
    return true;
  }

  std::string_view body_, prompt_key_;
  std::uint64_t prompts_ = 1;
  RequestScan scan_;
  BadRequest problem_;
  std::array<bool, kMembers> seen_{};
  std::optional<std::uint64_t> max_tokens_, max_completion_tokens_;
};

BadRequest not_json(std::string_view why) {
  return {Errc::NotJson, "", "the body is not a JSON object: " + std::string(why)};
}

}  // namespace

std::string_view path_of(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::Chat: return "/v1/chat/completions";
    case Endpoint::Completions: return "/v1/completions";
    case Endpoint::Embeddings: return "/v1/embeddings";
    case Endpoint::Responses: return "/v1/responses";
  }
  return "";
}

boost::system::result<RequestScan, BadRequest> scan_request(std::string& body, Endpoint endpoint) {
  body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  thread_local od::parser parser;
  od::document document;
  od::object object;
  if (const auto error = parser.iterate(body).get(document)) return not_json(simdjson::error_message(error));
  if (const auto error = document.get_object().get(object)) return not_json(simdjson::error_message(error));
  Scanner scanner(body, endpoint);
  for (auto member : object) {
    od::field field;
    std::string_view key;
    if (const auto error = std::move(member).get(field)) return not_json(simdjson::error_message(error));
    if (const auto error = field.unescaped_key().get(key)) return not_json(simdjson::error_message(error));
    if (!scanner.on_member(key, field.value())) {
      if (scanner.problem().code == Errc{}) return not_json("malformed value");
      return std::move(scanner.problem());
    }
  }
  const char* rest = nullptr;
  if (!document.current_location().get(rest)) return not_json("text after the object");
  if (!scanner.finish()) return std::move(scanner.problem());
  return std::move(scanner.scan());
}

std::string splice_request(std::string_view body, const RequestScan& scan, std::string_view model) {
  const std::string new_model = json_string(model);
  const std::string options =
      R"({"include_usage":true,"continuous_usage_stats":true)" + scan.other_stream_options + "}";
  std::string out;
  out.reserve(body.size() + new_model.size() + options.size() + 24);
  std::size_t at = 0;
  const auto copy_until = [&](std::size_t end) {
    out += body.substr(at, end - at);
    at = end;
  };
  const auto replace = [&](const Range& range, const std::string& with) {
    copy_until(range.offset);
    out += with;
    at = range.offset + range.length;
  };
  if (scan.stream && !scan.stream_options_range.present()) {
    copy_until(body.find('{') + 1);
    out += "\"stream_options\":" + options + ",";
  }
  const bool replace_options = scan.stream && scan.stream_options_range.present();
  if (replace_options && scan.stream_options_range.offset < scan.model_range.offset)
    replace(scan.stream_options_range, options);
  replace(scan.model_range, new_model);
  if (replace_options && scan.stream_options_range.offset > scan.model_range.offset)
    replace(scan.stream_options_range, options);
  copy_until(body.size());
  return out;
}

std::string json_string(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kHex[(c >> 4) & 15];
          out += kHex[c & 15];
        } else {
          out += c;
        }
    }
  }
  return out + "\"";
}

}  // namespace qanat::relay
