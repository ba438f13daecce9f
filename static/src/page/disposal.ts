/** Things to be undone at the end: whatever is opened is registered here at that moment. */

export interface Disposable {
  dispose(): void;
}

export class Disposables implements Disposable {
  private readonly _items: Disposable[] = [];

  add<T extends Disposable>(item: T): T {
    this._items.push(item);
    return item;
  }

  /** Listens until disposed. */
  listen<K extends string>(target: EventTarget, type: K, handle: (event: Event) => void, options?: AddEventListenerOptions): void {
    target.addEventListener(type, handle, options);
    this.add({ dispose: () => target.removeEventListener(type, handle, options) });
  }

  /** Undoes everything, newest first. */
  dispose(): void {
    for (let item = this._items.pop(); item !== undefined; item = this._items.pop()) item.dispose();
  }
}
