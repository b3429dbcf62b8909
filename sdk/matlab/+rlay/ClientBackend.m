classdef ClientBackend < rlay.Backend
%CLIENTBACKEND Dials rlay.ServerEnv, and again after each session.
%   rlay.ClientBackend(@make, 'tcp://127.0.0.1:5005').run()
%   make(wanted) returns the environment; wanted is a struct of envId, kwargs and renderMode. A program that an agent
%   has launched gives '' for the address. Options follow as names and values, see rlay.options. One session waits for
%   an agent, and up to maxSessions play. Where trying again is pointless (another token, another release, no RLay
%   there), run and poll raise an error once the sessions that play have ended.
%
%   An environment is an object or a struct of function handles with observationSpace, actionSpace,
%   [observation, info] = reset(seed, options) and
%   [observation, reward, terminated, truncated, info] = step(action), and may have metadata, details (struct of
%   rewardThreshold, nondeterministic, maxEpisodeSteps), render() and close(). Without step it is served by poll().
  properties (Access = private)
    dialers = {} % one of each session
    lookup
    isLaunched
    hasDialed = false
    failures = 0 % how many sessions in a row came to nothing
    dialAt = 0 % when the next session may be dialed for
    dialsNoMore = false % for trying again is pointless
    problem = [] % why, unless the agent that has launched the program is gone
  end
  methods
    function self = ClientBackend(make, address, varargin)
      launched = getenv('RLAY_ADDRESS');
      address = rlay.chars(address);
      if isempty(address)
        address = launched;
      end
      if isempty(address)
        error('rlay:address', 'no address to dial, and RLAY_ADDRESS is not set');
      end
      self = self@rlay.Backend(make, address, varargin{:});
      self.lookup = rlay.Lookup(self.host);
      self.isLaunched = strcmp(address, launched);
    end
  end
  methods (Access = protected)
    function again = connect(self)
      now = rlay.clock();
      again = Inf;
      if self.isClosed
        return
      end
      self.dialers = self.dialers(~cellfun(@(dialer) dialer.session.isOver, self.dialers));
      isSpare = cellfun(@(session) isempty(session.env), self.sessions);
      if ~self.dialsNoMore && ~any(isSpare) && numel(self.sessions) < self.options.maxSessions
        again = self.dialAt;
        if now >= self.dialAt
          dialer = rlay.Dialer(self.options);
          self.dialers{end + 1} = dialer;
          self.sessions{end + 1} = dialer.session;
        end
      end
      for i = 1:numel(self.dialers)
        dialer = self.dialers{i};
        if isempty(dialer.link) && now >= dialer.dialAt
          self.links{end + 1} = dialer.dial(self.lookup, self.port);
        elseif isempty(dialer.link)
          again = min(again, dialer.dialAt);
        end
      end
    end
    function ended(self, link)
      dialer = link.dialer;
      dialer.link = [];
      self.lookup.hasFailed = ~isempty(link.channel.failure);
      session = dialer.session;
      connection = link.connection;
      if session.isOver
        return
      elseif connection.isOpen
        dialer.lost();
        return
      end
      failure = connection.failure;
      code = rlay.codeOf(failure);
      isPointless = any(code == [7 13]);
      isRefused = self.wasRefused(link.channel);
      if session.isLost
        if isPointless || (isRefused && isempty(self.options.reconnectTimeout)) || dialer.isLate()
          session.finish(failure);
          return
        end
      elseif isPointless || ~any(code == [5 10])
        session.finish(failure);
        self.dialsNoMore = true;
        self.problem = failure;
        return
      elseif self.isLaunched && self.hasDialed && isRefused
        session.finish([]);
        self.dialsNoMore = true;
        return
      elseif dialer.pause > 0.5
        self.log(['no agent takes the session yet: ' failure.message]);
      end
      dialer.refused();
    end
    function yes = wasRefused(self, channel)
      % Whether nothing listens at the address.
      if exist('OCTAVE_VERSION', 'builtin')
        yes = ~isempty(regexp(channel.failure, 'error (111|61|10061)\>', 'once')); % of Linux, macOS and Windows
      else
        % MATLAB does not tell, but the agent that has launched the program is on the same machine.
        yes = self.isLaunched && ~isempty(channel.failure);
      end
    end
    function sessionOver(self, session)
      sessionOver@rlay.Backend(self, session);
      self.hasDialed = self.hasDialed || session.received > 0;
      if session.steps > 0 || isempty(session.failure)
        self.failures = 0;
      else
        self.failures = self.failures + 1;
      end
      self.dialAt = rlay.clock() + min(0.02 * 2 ^ max(self.failures - 1, 0), 5);
    end
    function settle(self)
      settle@rlay.Backend(self);
      if self.dialsNoMore && isempty(self.sessions) && ~self.isClosed
        self.close();
        if ~isempty(self.problem)
          error(self.problem.identifier, '%s', self.problem.message);
        end
      end
    end
  end
end
