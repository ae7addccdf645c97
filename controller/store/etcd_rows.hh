// Rows of the etcd store as text: JSON, so that `etcdctl get` shows an operator what stands there; bytes in base64.
#pragma once

#include <string>
#include <string_view>

#include "controller/store/store.hh"

namespace qanat::store {

// Bytes as etcd's JSON gateway and these rows have them: base64.
std::string base64_of(std::string_view bytes);

// Reading throws StoreError when a row is not what these write.
std::string row_of(const Member& member);
Member member_of(std::uint32_t id, std::string_view row);
std::string row_of(const JoinToken& token, bool used);
JoinToken token_of(std::string_view row, bool& used);
std::string row_of(const Pushed& pushed);
Pushed pushed_of(std::uint32_t id, std::string_view row);

}  // namespace qanat::store
