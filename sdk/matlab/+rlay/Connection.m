classdef Connection < handle
%CONNECTION One connection of a session, without a socket (sections 9, 13 and 21 of docs/wire.md).
%   Give what arrives to receive(bytes) where hasMore() is false, send what take() returns, call lost() at the end.
%   Close the socket once isFinished and all is sent, or isAborted. It dials for a session (rlay.EnvSession.dial), or
%   listens for a host that has the methods find(ticket) and admit() (rlay.ServerBackend).
  properties
    session = []
    number % tells connections apart
    isOpen = false % the handshake is over
    isFinished = false
    isAborted = false
    failure = [] % why the handshake has failed: struct of identifier and message
  end
  properties (Access = private)
    host = []
    options
    reader
    output = {} % pieces, which are joined once
    stage
    hello % whole frames, which the proofs are about
    challenge = []
    proof = []
    peerHello
  end
  methods
    function self = Connection(options, session, host)
      self.options = options;
      self.number = nextNumber();
      self.reader = rlay.FrameReader();
      if isempty(session)
        self.host = host;
        self.stage = 'hello';
        return
      end
      self.session = session;
      self.stage = 'welcome';
      hasToken = ~isempty(options.token);
      nonce = [];
      if hasToken
        nonce = rlay.random32();
      end
      self.hello = handshakeFrame(1, struct('wireMin', 0, 'wireMax', 0, 'role', 1, 'auth', hasToken, ...
        'features', 1 + 2 * ~isempty(session.ticket), 'maxFrame', options.maxFrame, 'peer', software(), ...
        'nonce', nonce, 'ticket', session.ticket, 'received', session.received));
      self.push(self.hello);
    end

    function receive(self, bytes)
      %RECEIVE Takes bytes that have arrived, and handles one frame, so that no peer keeps the others waiting.
      %   As long as hasMore() says so, there is another one, for receive([]).
      if self.isFinished || self.isAborted
        return
      end
      try
        self.reader.give(bytes);
        [found, frame] = self.reader.next();
        if found && self.isOpen
          self.session.receive(self, frame);
        elseif found
          self.handshake(frame);
        end
      catch err
        if self.isOpen
          self.session.violation(self, err);
        else
          self.abort(err);
        end
      end
      if self.reader.isClosed
        left = rlay.failure(10, 'the agent left without a goodbye');
        if self.isOpen
          self.session.closed(self, left);
        end
        self.abort(left);
      end
    end
    function yes = hasMore(self)
      %HASMORE Whether a frame waits that has arrived and was not handled yet.
      yes = ~self.isFinished && ~self.isAborted && self.reader.hasMore();
    end
    function yes = isShaking(self)
      %ISSHAKING Whether the handshake is under way.
      yes = ~self.isOpen && ~self.isFinished && ~self.isAborted;
    end
    function bytes = take(self)
      %TAKE The bytes to send.
      bytes = zeros(1, 0, 'uint8');
      if ~isempty(self.output)
        bytes = [self.output{:}];
        self.output = {};
      end
    end
    function lost(self)
      %LOST The connection has ended without the close mark.
      if self.isFinished || self.isAborted
        return
      end
      if self.isOpen
        self.session.lost(self);
      end
      self.abort(rlay.failure(10, 'the connection was lost'));
    end
    function abort(self, err)
      %ABORT Closes at once, and sends nothing more.
      if ~self.isAborted && ~self.isFinished
        if isempty(self.failure)
          self.failure = err;
        end
        self.isAborted = true;
      end
    end
    function finish(self)
      %FINISH Sends the close mark.
      if ~self.isAborted && ~self.isFinished
        self.isFinished = true;
        self.output{end + 1} = uint8([255 255 255 255]);
      end
    end
    function push(self, frame)
      self.output = [self.output {typecast(uint32(numel(frame)), 'uint8') frame}];
    end
  end

  methods (Access = private)
    function handshake(self, frame)
      % Frames of the handshake have no numbers.
      if numel(frame) < 32 || frame(1) > 5 || any(frame(2:32))
        error('rlay:protocol', 'a frame that is none of the handshake');
      end
      switch self.stage
        case 'welcome'
          self.answered(frame);
        case 'hello'
          self.greeted(frame);
        case 'proof'
          message = rlay.readFrame(frame);
          if message.kind ~= 3
            error('rlay:protocol', 'the dialer answered Challenge with what it should not');
          elseif ~isSame(message.body.proof, rlay.prove(self.options.token, 'dialer', self.hello, self.challenge))
            self.refuse(13, 'the token is another one');
          else
            self.proof = rlay.prove(self.options.token, 'listener', self.hello, self.challenge);
            self.admit();
          end
      end
    end

    function answered(self, frame)
      % The dialer's side: takes the answer to Hello or Proof.
      token = self.options.token;
      resumes = ~isempty(self.session.ticket);
      message = rlay.readFrame(frame);
      body = message.body;
      if message.kind == 2 && ~isempty(token) && isempty(self.challenge)
        self.challenge = frame;
        self.push(handshakeFrame(3, struct('proof', rlay.prove(token, 'dialer', self.hello, frame))));
        return
      elseif isequal(frame, self.hello)
        % A kernel may connect a socket to itself, where nothing listens at the port yet.
        error('rlay:lost', 'nothing listens there');
      elseif message.kind == 5
        code = body.code;
        if ~any(code == [5 7 13]) && ~(code == 10 && resumes)
          code = 8;
        end
        err = rlay.failure(code, ['the agent refused the connection: ' rlay.shown(body.message)]);
        if code == 10
          self.session.finish(err);
        end
        error(err.identifier, '%s', err.message);
      elseif message.kind ~= 4
        error('rlay:protocol', 'the agent answered Hello with what it should not');
      elseif body.wire ~= 0
        error('rlay:protocol', 'the agent chose a wire number that was not offered');
      elseif ~isempty(body.received) ~= resumes || (~isempty(body.ticket) && resumes)
        error('rlay:protocol', 'the agent took a new session for an old one, or the other way round');
      elseif ~isempty(token) && (isempty(self.challenge) || ...
          ~isSame(body.proof, rlay.prove(token, 'listener', self.hello, self.challenge)))
        error('rlay:unauthorized', 'the agent did not prove that it knows the token');
      end
      self.opened(self.session, body.maxFrame);
      if ~resumes
        self.session.ticket = body.ticket;
        self.session.go(self, uint64(0));
      elseif self.session.isBehind(self, body.received)
        self.session.go(self, body.received);
      end
    end

    function greeted(self, frame)
      % The listener's side: takes Hello.
      self.hello = frame;
      if numel(frame) < 42 || frame(1) ~= 1 || ~isequal(frame(33:36), uint8('RLAY')) || frame(41) > 1
        error('rlay:protocol', 'the dialer is no RLay endpoint');
      end
      wires = typecast(frame(37:40), 'uint16');
      if wires(1) > 0
        self.refuse(7, 'this host speaks wire 0');
        return
      elseif frame(41) == 1
        self.refuse(7, 'both ends host an environment; one has to be an agent');
        return
      elseif frame(42) > 1
        self.refuse(7, 'an unknown kind of authentication');
        return
      end
      message = rlay.readFrame(frame);
      self.peerHello = message.body;
      hasToken = ~isempty(self.options.token);
      if hasToken && self.peerHello.auth == 0
        self.refuse(13, 'this host asks for a token');
      elseif ~hasToken && self.peerHello.auth == 1
        self.refuse(13, 'this host has no token');
      elseif hasToken
        self.challenge = handshakeFrame(2, struct('nonce', rlay.random32()));
        self.push(self.challenge);
        self.stage = 'proof';
      else
        self.admit();
      end
    end

    function admit(self)
      % The listener's side: makes a session, or lets the dialer resume its own.
      hello = self.peerHello;
      welcome = struct('wire', 0, 'features', 0, 'maxFrame', self.options.maxFrame, 'peer', software(), ...
        'proof', self.proof, 'ticket', [], 'received', []);
      if ~isempty(hello.ticket)
        session = self.host.find(hello.ticket);
        if isempty(session)
          self.refuse(10, 'the session has ended');
        elseif session.isBehind(self, hello.received)
          session.abandon();
          self.opened(session, hello.maxFrame);
          welcome.features = 2;
          welcome.received = session.received;
          self.push(handshakeFrame(4, welcome));
          session.go(self, hello.received);
        end
        return
      end
      session = self.host.admit();
      if isempty(session)
        self.refuse(5, 'all sessions are taken');
        return
      end
      if bitand(hello.features, uint64(1))
        session.ticket = rlay.random32();
        welcome.features = 1;
        welcome.ticket = session.ticket;
      end
      self.opened(session, hello.maxFrame);
      self.push(handshakeFrame(4, welcome));
      session.go(self, uint64(0));
    end

    function refuse(self, code, message)
      self.push(handshakeFrame(5, struct('code', code, 'wireMin', 0, 'wireMax', 0, 'message', message)));
      self.failure = rlay.failure(code, message);
      self.finish();
    end

    function opened(self, session, theirMaxFrame)
      if isempty(session.limit)
        session.limit = max(65536, min(self.options.maxFrame, double(theirMaxFrame)));
      end
      self.session = session;
      self.isOpen = true;
      self.reader.limit = session.limit;
    end
  end
end

function number = nextNumber()
  persistent last
  if isempty(last)
    last = 0;
  end
  last = last + 1;
  number = last;
end

function name = software()
  name = 'rlay-matlab 0.1.0';
end

function frame = handshakeFrame(kind, body)
  w = rlay.Writer(65536);
  w.header(kind, 0, 0, 0);
  rlay.writeBody(w, kind, body);
  frame = w.finish();
end

function same = isSame(a, b)
  % Compares in a time that does not depend on where the two differ.
  same = numel(a) == numel(b) && sum(bitxor(a, b)) == 0;
end
