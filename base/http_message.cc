#include "base/http_message.hh"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace qanat::base {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

const std::string* Headers::find(std::string_view name) const {
  for (const auto& [key, value] : entries_)
    if (equal_ignoring_case(key, name)) return &value;
  return nullptr;
}

std::string_view Headers::value_or(std::string_view name, std::string_view fallback) const {
  const std::string* value = find(name);
  return value != nullptr ? std::string_view{*value} : fallback;
}

void Headers::set(std::string_view name, std::string value) {
  std::erase_if(entries_, [&](const Entry& e) { return equal_ignoring_case(e.first, name); });
  entries_.emplace_back(std::string{name}, std::move(value));
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high << 4 | low);
      i += 2;
    }
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

std::optional<std::string> query_parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view item = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    const std::size_t equals = item.find('=');
    const auto key = percent_decode(item.substr(0, equals), true);
    if (!key || *key != name) continue;
    return percent_decode(equals == std::string_view::npos ? std::string_view{} : item.substr(equals + 1),
                          true);
  }
  return std::nullopt;
}

std::string_view status_text(int status) {
  switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Payload Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Status";
  }
}

namespace {

using Json = nlohmann::ordered_json;

Json error_of(std::string_view code, std::string_view message, std::string_view hint) {
  Json error;
  error["code"] = code;
  error["message"] = message;
  error["type"] = code == "internal_error" ? "server_error" : "invalid_request_error";
  error["param"] = nullptr;
  if (!hint.empty()) error["hint"] = hint;
  return error;
}

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

std::string error_body(std::string_view code, std::string_view message, std::string_view hint) {
  return text_of(Json{{"error", error_of(code, message, hint)}});
}

std::string problem_body(int status, std::string_view code, std::string_view message, std::string_view hint) {
  Json problem;
  problem["type"] = "urn:qanat:error:" + std::string(code);
  problem["title"] = status_text(status);
  problem["status"] = status;
  problem["detail"] = message;
  if (!hint.empty()) problem["hint"] = hint;
  problem["error"] = error_of(code, message, hint);
  return text_of(problem);
}

}  // namespace qanat::base
