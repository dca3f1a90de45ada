// Transactions as text. Two languages, told apart by the first word:
//
//   readable   if value(config/a) = "1" and missing(lock) then put config/a "2"; get config/b else get lock
//   etcdctl's  three blocks of lines (compares, success, failure), each ended by an empty line:
//                mod("key1") > "0"
//                <empty>
//                put key1 "overwritten"
//                <empty>
//                get key1
#pragma once

#include <string_view>

#include "decree/result.h"
#include "etcd/rpc.pb.h"

namespace decree::cli {

// The error names line, column and what was expected.
Result<etcdserverpb::TxnRequest> parse_txn(std::string_view text);

// What `decree txn --help` says about the readable language.
extern const char* const txn_language_help;

}  // namespace decree::cli
