// The desk's own values as JSON: callers, tokens, versions, audit lines.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controller/northbound/access.hh"
#include "controller/northbound/audit_log.hh"
#include "controller/northbound/intents.hh"

namespace qanat::northbound {

std::string to_json(const Caller& caller);
std::string to_json(const Access::Made& made);
std::string to_json(const std::vector<TokenView>& tokens);
std::string to_json(const Applied& applied);
std::string to_json(const std::vector<VersionView>& versions);
// {"version", and every section}: what POST /v1/apply takes.
std::string intent_document(std::uint64_t version, const Intent& intent);
std::string audit_document(std::uint64_t count, const std::string& head,
                           const std::vector<AuditLog::Line>& lines);
std::variant<TokenRequest, Problems> parse_token_request(std::string_view body);

}  // namespace qanat::northbound
