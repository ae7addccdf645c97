#include "gateway/meter/call_leaf.hh"

#include "gateway/audit/digest.hh"

namespace qanat::meter {
namespace {

// A JSON string in ASCII: what is not printable goes byte by byte, as \u00XX.
void append_quoted(std::string& to, std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  to += '"';
  std::size_t plain = 0;  // from here on, what may stand as it is
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') continue;
    to.append(text, plain, i - plain);
    to += "\\u00";
    to += kDigits[byte >> 4];
    to += kDigits[byte & 15];
    plain = i + 1;
  }
  to.append(text, plain);
  to += '"';
}

class Line {
 public:
  Line() { line_.reserve(1024); }
  Line& text(std::string_view name, std::string_view value) {
    begin(name);
    append_quoted(line_, value);
    return *this;
  }
  template <class Integer>
  Line& number(std::string_view name, Integer value) {
    begin(name);
    line_ += std::to_string(value);
    return *this;
  }
  std::string finish() { return std::move(line_ += '}'); }

 private:
  // `name` is one of ours, and plain.
  void begin(std::string_view name) {
    line_ += line_.empty() ? "{\"" : ",\"";
    line_ += name;
    line_ += "\":";
  }
  std::string line_;
};

std::string joined(std::string_view a, std::string_view b) {
  std::string both(a);
  both += '\0';
  both += b;
  return both;
}

}  // namespace

std::string field_salt(std::string_view secret, std::string_view field) {
  return to_string(audit::sha256(joined(secret, field)));
}

std::string commitment(std::string_view salt, std::string_view value) {
  return to_string(audit::sha256(joined(salt, value)));
}

std::string leaf_of(const Settlement& s, std::int64_t amount_nano, std::string_view secret) {
  const Call& c = s.call;
  const auto hidden = [&](std::string_view field, std::string_view value) {
    return commitment(field_salt(secret, field), value);
  };
  return Line()
      .number("v", 1)
      .text("call", c.id)
      .text("tenant", hidden("tenant", c.tenant))
      .text("project", hidden("project", c.project))
      .text("key", hidden("key", c.key))
      .text("model", c.model)
      .text("pool", c.pool)
      .text("price", version(c.price))
      .number("tokens_in", s.prompt_tokens)
      .number("tokens_cached", s.cached_tokens)
      .number("tokens_out", s.delivered_tokens)
      .number("amount_nano", amount_nano)
      .text("outcome", to_string(s.outcome))
      .text("usage_source", to_string(s.source))
      .number("started_unix_ms", c.started_unix_ms)
      .number("ended_unix_ms", s.ended_unix_ms)
      .number("tries", s.tries)
      .text("decision_sha256", to_string(audit::sha256(s.decision)))
      .finish();
}

std::string first_leaf(std::string_view gateway, std::uint64_t calls_before) {
  return Line().number("v", 1).text("gateway", gateway).number("calls_before", calls_before).finish();
}

}  // namespace qanat::meter
