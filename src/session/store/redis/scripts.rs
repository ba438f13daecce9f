//! What Redis does in one step: while a script runs, Redis runs no other command.
//!
//! `KEYS` and `ARGV` are Redis's names for what a script is given; each script's comment says what they are.

/// Reads records. KEYS: the records. ARGV: the offset of the last byte to read.
///
/// Answers for each record its text, nothing if there is none, or 1 if the key holds something other than a string.
pub(super) const READ: &str = "
local found = {}
for place, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key)['ok']
  if kind == 'string' then
    found[place] = redis.call('GETRANGE', key, 0, ARGV[1])
  elseif kind == 'none' then
    found[place] = false
  else
    found[place] = 1
  end
end
return found";

/// What a script on this server's own records begins with in a fleet: it refuses unless the lease is this life's. The last
/// of KEYS: the lease. The last of ARGV: this life's epoch.
pub(super) const LEASE_FENCE: &str = "
if redis.call('HGET', KEYS[#KEYS], 'epoch') ~= ARGV[#ARGV]
  or redis.call('HGET', KEYS[#KEYS], 'state') == 'buried' then
  return redis.error_reply('FENCED this life of the server is over')
end";

/// Adds a record, unless there is one. KEYS: the record, the set of ids. ARGV: the text, how many milliseconds Redis
/// keeps it, the id.
pub(super) const INSERT: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SADD', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1";

/// Changes a record, unless it was changed since it was read. KEYS and ARGV as for [`INSERT`]; ARGV 4: the text as it
/// was read.
pub(super) const UPDATE: &str = "
if redis.call('TYPE', KEYS[1])['ok'] ~= 'string' then return 0 end
if redis.call('GET', KEYS[1]) ~= ARGV[4] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SADD', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1";

/// Removes a record. KEYS: the record, the set of ids. ARGV: the id.
pub(super) const REMOVE: &str = "
redis.call('SREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])";

/// Sets aside what is no record, unless it was changed since it was read, or forgets the id of a record that is gone.
/// KEYS: the record, the set of ids, the key to rename it to. ARGV: the id, the offset of the last byte that was read,
/// the text as it was read.
pub(super) const SET_ASIDE: &str = "
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind == 'string' and redis.call('GETRANGE', KEYS[1], 0, ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('SREM', KEYS[2], ARGV[1])
if kind == 'none' then return 0 end
redis.call('RENAME', KEYS[1], KEYS[3])
return 1";

/// The head's line of a book's newest version, and how many bytes follow it. KEYS: the book.
pub(super) const NEWEST: &str = "
if redis.call('TYPE', KEYS[1])['ok'] ~= 'list' then return false end
local newest = redis.call('LINDEX', KEYS[1], 0)
local head = newest and string.find(newest, '\\n', 1, true)
if not head then return false end
return {string.sub(newest, 1, head), #newest - head}";

/// The head's line of each of a book's versions, newest first, and how many bytes follow it. KEYS: the book.
pub(super) const VERSIONS: &str = "
if redis.call('TYPE', KEYS[1])['ok'] ~= 'list' then return {} end
local found = {}
for _, version in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local head = string.find(version, '\\n', 1, true)
  if head then found[#found + 1] = {string.sub(version, 1, head), #version - head} end
end
return found";

/// What every script on one player's books begins with: a function that counts the player's books as they are.
///
/// KEYS of these scripts: the player's book, what all books take, what each player's take, when those that may expire
/// were used last. ARGV: the player, the size of a block; and then what the script's comment says.
macro_rules! book_script {
    ($script:literal) => {
        concat!(
            "
local function weigh()
  local bytes = 0
  for _, version in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
    bytes = bytes + math.ceil(#version / ARGV[2]) * ARGV[2]
  end
  local before = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or 0)
  redis.call('INCRBY', KEYS[2], bytes - before)
  if bytes > 0 then
    redis.call('HSET', KEYS[3], ARGV[1], bytes)
  else
    redis.call('HDEL', KEYS[3], ARGV[1])
    redis.call('ZREM', KEYS[4], ARGV[1])
  end
end
",
            $script
        )
    };
}

/// Adds a version of a book, unless the game that saves it is not this server's (answer -3), it is the newest already (0),
/// there is no room for a new player's (-1), or the newest is not the one it must follow (-2). One key more: the player's
/// games. ARGV 3: now; 4: whether the book may expire; 5: the head's line; 6:
/// the bytes; 7: their checksum; 8: how many versions are kept; 9: what all books may take; 10: the checksum that the
/// newest must have, or `any`; 11: the checksum of an empty book, as which no book counts; in a fleet 12: the game; 13: its
/// holder.
pub(super) const SAVE_BOOK: &str = book_script!(
    "
if ARGV[12] and redis.call('HGET', KEYS[5], ARGV[12]) ~= ARGV[13] then return -3 end
local newest = redis.call('LINDEX', KEYS[1], 0)
local head = newest and string.find(newest, '\\n', 1, true)
if head and string.sub(newest, head + 1) == ARGV[6]
  and string.find(string.sub(newest, 1, head), ARGV[7], 1, true) then
  return 0
end
if ARGV[10] ~= 'any' then
  local is_it = ARGV[10] == ARGV[11]
  if newest then is_it = head and string.find(string.sub(newest, 1, head), ARGV[10], 1, true) end
  if not is_it then return -2 end
end
local quota = tonumber(ARGV[9])
if quota and not newest and tonumber(redis.call('GET', KEYS[2]) or 0) >= quota then return -1 end
redis.call('LPUSH', KEYS[1], ARGV[5] .. ARGV[6])
redis.call('LTRIM', KEYS[1], 0, ARGV[8] - 1)
weigh()
if ARGV[4] == '1' then redis.call('ZADD', KEYS[4], ARGV[3], ARGV[1]) end
return 1"
);

/// Counts a player's books as they are. ARGV 3: now; 4: whether they may expire.
pub(super) const WEIGH_BOOK: &str = book_script!(
    "
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'list' and kind ~= 'none' then return 0 end
weigh()
if kind == 'list' and ARGV[4] == '1' then redis.call('ZADD', KEYS[4], 'NX', ARGV[3], ARGV[1]) end
return 1"
);

/// Removes a player's books unless they were used after a moment. ARGV 3: that moment.
pub(super) const EXPIRE_BOOK: &str = book_script!(
    "
local used = redis.call('ZSCORE', KEYS[4], ARGV[1])
if not used or tonumber(used) > tonumber(ARGV[3]) then return 0 end
redis.call('DEL', KEYS[1])
weigh()
redis.call('ZREM', KEYS[4], ARGV[1])
return 1"
);

/// Adds up anew what all books take, in case the running sum has become wrong. KEYS: the sum, what each player's take.
/// Answers the sum.
pub(super) const SUM_BOOKS: &str = "
local bytes = 0
for _, size in ipairs(redis.call('HVALS', KEYS[2])) do bytes = bytes + size end
redis.call('SET', KEYS[1], string.format('%.0f', bytes))
return bytes";

/// Opens a game; see [`Games`](super::super::games), whose rules these three scripts are. KEYS: the player's games. ARGV 1:
/// the session; 2: its holder; 3: for how many seconds Redis keeps all this; 4: the session that is resumed, or nothing; from
/// 5 on: the holders that are buried.
///
/// An open game is a field with its holder. A superseded one is a field `moved:` and the session, with its successor and
/// the second since 1970 in which Redis noted it.
pub(super) const OPEN_GAME: &str = "
local now, resumed = tonumber(redis.call('TIME')[1]), ARGV[4]
local buried = {}
for place = 5, #ARGV do buried[ARGV[place]] = true end
local function supersede(session)
  redis.call('HDEL', KEYS[1], session)
  redis.call('HSET', KEYS[1], 'moved:' .. session, ARGV[1] .. ' ' .. now)
end
if resumed ~= '' then
  local mark = redis.call('HGET', KEYS[1], 'moved:' .. resumed)
  local successor = mark and string.match(mark, '^%S+')
  if successor and (redis.call('HEXISTS', KEYS[1], successor) == 1
    or redis.call('HEXISTS', KEYS[1], 'moved:' .. successor) == 1) then
    return {'resumed', successor}
  end
  local holder = redis.call('HGET', KEYS[1], resumed)
  if holder and not buried[holder] then return {'held', holder} end
  supersede(resumed)
end
local answer = {'open'}
local all = redis.call('HGETALL', KEYS[1])
for place = 1, #all, 2 do
  local field, value = all[place], all[place + 1]
  if string.sub(field, 1, 6) == 'moved:' then
    local noted = tonumber(string.match(value, '%d+$'))
    if not noted or noted + ARGV[3] < now then redis.call('HDEL', KEYS[1], field) end
  elseif buried[value] then
    supersede(field)
  elseif field ~= ARGV[1] then
    answer[#answer + 1] = field
    answer[#answer + 1] = value
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return answer";

/// Makes a later life of the server a game's holder. KEYS and ARGV 1 to 3 as for [`OPEN_GAME`]; ARGV 4: the instance; 5: its
/// epoch. Answers the successor of a game that is superseded, otherwise nothing.
pub(super) const ADOPT_GAME: &str = "
local mark = redis.call('HGET', KEYS[1], 'moved:' .. ARGV[1])
if mark then return string.match(mark, '^%S+') end
local holder = redis.call('HGET', KEYS[1], ARGV[1])
if holder then
  local instance, epoch = string.match(holder, '^(.*)/(%d+)$')
  if instance ~= ARGV[4] or tonumber(epoch) > tonumber(ARGV[5]) then
    return redis.error_reply('FENCED a later life of the server has this game')
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return false";

/// Forgets a game that is over. KEYS: the player's games. ARGV: the session, its holder.
pub(super) const CLOSE_GAME: &str = "
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1";
